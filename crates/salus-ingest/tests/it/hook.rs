//! An endpoint that is told of changes: plain HTTP, one request a connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Told {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value)
    }
}

#[derive(Default)]
struct State {
    told: Vec<Told>,
    /// The status line and headers of answers; empty for success.
    answer: String,
}

pub(crate) struct Hook {
    pub(crate) origin: String,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        if name == "content-length" {
            length = value.parse().unwrap();
        }
        headers.push((name, value));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = String::from_utf8(body).unwrap();
    let answer = {
        let mut state = state.lock();
        state.told.push(Told { method, path, headers, body });
        if state.answer.is_empty() { "200 OK".to_owned() } else { state.answer.clone() }
    };
    let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

impl Hook {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let state: Arc<Mutex<State>> = Arc::default();
        let of_task = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&of_task)));
            }
        });
        Self { origin, state, task }
    }

    /// From now on it answers so, such as `503 Busy`; empty for success.
    pub(crate) fn answers(&self, answer: &str) {
        self.state.lock().answer = answer.to_owned();
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.state.lock().told.clone()
    }

    /// What came in so far; it is forgotten here.
    pub(crate) fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.state.lock().told)
    }

    /// Waits until so many requests have come in.
    pub(crate) async fn heard(&self, count: usize) -> Vec<Told> {
        let until = Instant::now() + Duration::from_secs(20);
        while self.told().len() < count {
            assert!(Instant::now() < until, "only {:?}", self.told());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.take()
    }
}
