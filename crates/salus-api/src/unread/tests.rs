#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{UNREAD_BYTES_MAX, UNREAD_WAIT, reading_to_the_end};

fn routes() -> Router {
    Router::new()
        .route("/refused", post(|| async { StatusCode::FORBIDDEN }))
        .route("/read", post(|body: Bytes| async move { format!("{} bytes", body.len()) }))
}

async fn served(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A client that keeps its connection.
struct Client(TcpStream);

impl Client {
    async fn to(router: Router) -> Self {
        Self(TcpStream::connect(served(router).await).await.unwrap())
    }

    async fn head(&mut self, path: &str, length: usize, more: &str) {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n{more}\r\n");
        // A connection that is closed is seen where an answer is awaited.
        let _ = self.0.write_all(head.as_bytes()).await;
    }

    /// The head of an answer; none where the connection was closed first.
    async fn answer(&mut self) -> Option<String> {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(UNREAD_WAIT * 3, self.0.read_u8()).await;
            seen.push(byte.expect("an answer in time").ok()?);
        }
        Some(String::from_utf8(seen).unwrap().to_ascii_lowercase())
    }

    /// A request whose body comes a moment after its head, as from a client behind a slow line.
    async fn ask(&mut self, path: &str) -> Option<String> {
        self.head(path, 5, "").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.0.write_all(b"hello").await.ok()?;
        self.answer().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_costs_a_client_neither_its_connection_nor_its_next_request() {
    let mut client = Client::to(reading_to_the_end(routes())).await;
    for round in 0..5 {
        let refused = client.ask("/refused").await.unwrap_or_else(|| panic!("round {round}"));
        assert!(refused.starts_with("http/1.1 403") && !refused.contains("close"), "{refused}");
    }
    // What is read is read by its reader, whole.
    client.head("/read", 5, "").await;
    client.0.write_all(b"hello").await.unwrap();
    assert!(client.answer().await.unwrap().contains("content-length: 7"));

    // The fault is there to be found: without it the second request is lost.
    let mut client = Client::to(routes()).await;
    assert!(client.ask("/refused").await.is_some());
    assert_eq!(client.ask("/refused").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_end_in_time_or_size_ends_the_connection_and_the_answer_says_so() {
    let mut client = Client::to(reading_to_the_end(routes())).await;
    let begun = Instant::now();
    client.head("/refused", 5, "").await;
    let answer = client.answer().await.unwrap();
    assert!(answer.starts_with("http/1.1 403") && answer.contains("connection: close"), "{answer}");
    assert!(begun.elapsed() >= UNREAD_WAIT, "{:?}", begun.elapsed());
    assert_eq!(client.answer().await, None);

    let mut client = Client::to(reading_to_the_end(routes())).await;
    client.head("/refused", UNREAD_BYTES_MAX * 8, "").await;
    // The server stops reading; what it has not taken may not fit into the socket.
    let _ = client.0.write_all(&vec![b'x'; UNREAD_BYTES_MAX + 1]).await;
    let answer = client.answer().await.unwrap();
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_awaits_a_word_before_its_body_is_not_asked_for_it() {
    let mut client = Client::to(reading_to_the_end(routes())).await;
    client.head("/refused", 5, "Expect: 100-continue\r\n").await;
    let answer = client.answer().await.unwrap();
    assert!(answer.starts_with("http/1.1 403") && answer.contains("connection: close"), "{answer}");
}
