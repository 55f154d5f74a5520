use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A server process that is killed when dropped; what it prints is kept for the failure message.
#[derive(Debug)]
pub struct Server {
    child: Child,
    printed: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    /// Starts the process.
    ///
    /// # Panics
    /// When it cannot start.
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let printed = Arc::default();
        if let Some(out) = child.stdout.take() {
            keep(out, Arc::clone(&printed));
        }
        if let Some(err) = child.stderr.take() {
            keep(err, Arc::clone(&printed));
        }
        Self { child, printed }
    }

    /// Waits until somebody listens at `address`.
    ///
    /// # Panics
    /// When the process ends first or `patience` runs out; the message has what it printed.
    pub fn wait_for_port(&mut self, address: SocketAddr, patience: Duration) {
        let until = Instant::now() + patience;
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the server ended with {status}\n{}", self.printed());
            }
            assert!(Instant::now() < until, "nobody listens at {address}\n{}", self.printed());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the process has printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        let bytes = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Kills the process at once, as a power cut would, and waits until it is gone.
    pub fn kill(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn keep(mut from: impl std::io::Read + Send + 'static, printed: Arc<Mutex<Vec<u8>>>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
            printed.extend(buffer.iter().take(n));
        }
    });
}

/// Waits until somebody listens at `address`, for servers that run inside the test.
///
/// # Panics
/// When `patience` runs out.
pub fn wait_for_port(address: SocketAddr, patience: Duration) {
    let until = Instant::now() + patience;
    while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
        assert!(Instant::now() < until, "nobody listens at {address}");
        thread::sleep(Duration::from_millis(20));
    }
}
