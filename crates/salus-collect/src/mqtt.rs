use std::sync::Arc;
use std::time::Duration;

use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, QoS, TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use salus_model::Secret;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::collector::{CollectError, Collector, Incoming, Source};
use crate::record::DeviceId;

/// How long reports are gathered before they are written with one sync.
const GATHER: Duration = Duration::from_millis(20);
/// The most that are gathered.
const TOGETHER: usize = 512;
/// How long to wait before the broker is tried again: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// Where the broker is, and as whom to subscribe.
#[derive(Debug)]
pub struct MqttSettings {
    /// The broker's host name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The session's name: the broker keeps for it what comes while the collector is away.
    pub client: String,
    /// What to subscribe to, such as `devices/+/report`; on a clustered broker a shared
    /// subscription, `$share/collectors/devices/+/report`.
    pub topic: String,
    /// Name and password, where the broker wants them.
    pub login: Option<(String, Secret<String>)>,
    /// TLS, with the certificate that the broker asks for; none on a loopback only.
    pub tls: Option<Arc<ClientConfig>>,
}

impl MqttSettings {
    fn connect(&self) -> (AsyncClient, EventLoop) {
        let Self { host, port, client, login, tls, .. } = self;
        let mut options = MqttOptions::new(client, host, *port);
        options.set_clean_session(false);
        options.set_manual_acks(true);
        options.set_keep_alive(Duration::from_secs(30));
        let longest = crate::report::MAX_REPORT_BYTES + 1024;
        options.set_max_packet_size(longest, longest);
        if let Some((name, password)) = login {
            options.set_credentials(name, password.expose());
        }
        if let Some(tls) = tls {
            let tls = TlsConfiguration::Rustls(Arc::clone(tls));
            options.set_transport(Transport::tls_with_config(tls));
        }
        AsyncClient::new(options, TOGETHER + 64)
    }
}

/// Sends sealed reports to a broker as devices do, each on its own topic, and returns when the broker
/// has acknowledged them all. The settings' topic is what the devices' names stand below.
///
/// # Errors
/// When the broker is away or refuses; those that it had by then come again as duplicates.
pub async fn send_reports<'a>(
    settings: &MqttSettings,
    reports: impl IntoIterator<Item = (&'a DeviceId, &'a [u8])>,
) -> Result<(), MqttStopped> {
    let (client, mut events) = settings.connect();
    let mut reports = reports.into_iter().peekable();
    let (mut sent, mut acknowledged) = (0usize, 0usize);
    while reports.peek().is_some() || acknowledged < sent {
        // No more under way than the client's queue takes: nobody else empties it.
        while sent - acknowledged < TOGETHER {
            let Some((device, report)) = reports.next() else { break };
            let topic = format!("{}/{device}/report", settings.topic);
            let published = client.publish(topic, QoS::AtLeastOnce, false, report).await;
            published.map_err(|e| MqttStopped::Client(Box::new(e)))?;
            sent += 1;
        }
        match events.poll().await.map_err(|e| MqttStopped::Connection(Box::new(e)))? {
            Event::Incoming(Packet::PubAck(_)) => acknowledged += 1,
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
    }
    Ok(())
}

/// The collector's subscription at an MQTT broker.
///
/// Reports are acknowledged to the broker (QoS 1) once they are on the collector's disk. After a
/// lost connection or a disk that did not take them, the broker sends again what was not
/// acknowledged.
pub struct MqttCollector {
    settings: MqttSettings,
    collector: Arc<Collector>,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum MqttStopped {
    /// The broker is away, or refuses.
    #[error("the connection to the broker ended")]
    Connection(#[source] Box<rumqttc::ConnectionError>),
    /// The client's own queue is closed, which is a bug.
    #[error("the broker's client ended")]
    Client(#[source] Box<rumqttc::ClientError>),
    /// The collector does not take the reports.
    #[error(transparent)]
    Collect(#[from] CollectError),
}

impl MqttCollector {
    /// A subscription that is not begun yet.
    #[must_use]
    pub const fn new(settings: MqttSettings, collector: Arc<Collector>) -> Self {
        Self { settings, collector }
    }

    fn connect(&self) -> (AsyncClient, EventLoop) {
        self.settings.connect()
    }

    /// Takes reports in until `stop` says so; connections that end are made anew.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let mut subscribed = false;
            let ended = tokio::select! {
                ended = self.session(&mut subscribed) => ended,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            if let Err(e) = ended {
                tracing::warn!(error = &e as &dyn std::error::Error, "the broker is tried again");
            }
            pause = if subscribed { FIRST_PAUSE } else { (pause * 2).min(LAST_PAUSE) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn session(&self, subscribed: &mut bool) -> Result<(), MqttStopped> {
        let (client, mut events) = self.connect();
        let wanted = client.subscribe(&self.settings.topic, QoS::AtLeastOnce).await;
        wanted.map_err(|e| MqttStopped::Client(Box::new(e)))?;
        // A task of its own, because a poll that is dropped half way may lose an acknowledgement.
        let (send, mut receive) = mpsc::channel(TOGETHER);
        let mut pump = JoinSet::new();
        pump.spawn(async move {
            loop {
                let event = events.poll().await;
                let ended = event.is_err();
                if send.send(event).await.is_err() || ended {
                    return;
                }
            }
        });
        let mut gathered: Vec<Publish> = Vec::new();
        loop {
            let event = if gathered.is_empty() {
                Ok(receive.recv().await)
            } else {
                tokio::time::timeout(GATHER, receive.recv()).await
            };
            match event {
                Ok(Some(Ok(Event::Incoming(Packet::Publish(publish))))) => gathered.push(publish),
                Ok(Some(Ok(Event::Incoming(Packet::SubAck(_))))) => *subscribed = true,
                Ok(Some(Ok(_))) => {}
                // What was gathered is not acknowledged, and comes again.
                Ok(Some(Err(e))) => return Err(MqttStopped::Connection(Box::new(e))),
                Ok(None) => return Ok(()),
                Err(_) => self.take(&client, std::mem::take(&mut gathered)).await?,
            }
            if gathered.len() >= TOGETHER {
                self.take(&client, std::mem::take(&mut gathered)).await?;
            }
        }
    }

    async fn take(&self, client: &AsyncClient, gathered: Vec<Publish>) -> Result<(), MqttStopped> {
        let reports = gathered.iter().map(|p| Incoming::Report(p.payload.to_vec())).collect();
        self.collector.take(Source::Mqtt, reports).await?;
        for publish in &gathered {
            client.ack(publish).await.map_err(|e| MqttStopped::Client(Box::new(e)))?;
        }
        Ok(())
    }
}
