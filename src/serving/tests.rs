use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;

/// Far longer than a handler is asked to take here: an hour.
const LONG: Duration = Duration::from_secs(60 * 60);

const LIMITS: Limits = Limits {
    connections: 2,
    head: Duration::from_secs(5),
    head_size: 1024,
    body: Duration::from_secs(7),
    body_size: 64,
    answer: Duration::from_secs(9),
    answered: Answered::Keep,
};

/// Connections that are handed to it, each with a name for its other end.
struct Handed(mpsc::UnboundedReceiver<(DuplexStream, &'static str)>);

impl Listen for Handed {
    type Stream = DuplexStream;
    type Peer = &'static str;

    async fn accept(&mut self) -> io::Result<(DuplexStream, &'static str)> {
        match self.0.recv().await {
            Some(connection) => Ok(connection),
            None => std::future::pending().await,
        }
    }
}

fn router() -> Router {
    Router::new()
        .route("/who", get(|ConnectInfo(peer): ConnectInfo<&'static str>| async move { peer }))
        .route("/long", get(|| async { tokio::time::sleep(LONG).await }))
        .route("/large", get(|| async { "x".repeat(1 << 20) }))
        .route("/say", post(|said: String| async move { said }))
}

/// A server, and the way to connect to it.
fn server(limits: Limits) -> mpsc::UnboundedSender<(DuplexStream, &'static str)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(serve(Handed(receiver), router(), limits));
    sender
}

/// A client that is connected.
fn connect(server: &mpsc::UnboundedSender<(DuplexStream, &'static str)>) -> DuplexStream {
    let (ours, theirs) = duplex(4096);
    server.send((theirs, "somebody")).unwrap();
    ours
}

/// What the server says until it closes the connection, and after how long.
async fn until_closed(mut client: DuplexStream) -> (String, Duration) {
    let start = Instant::now();
    let mut said = Vec::new();
    // A connection that is cut while something is under way ends with an error.
    let _ = client.read_to_end(&mut said).await;
    (String::from_utf8(said).unwrap(), start.elapsed())
}

/// Whether this took about so long: timers have whole milliseconds.
fn about(took: Duration, limit: Duration) -> bool {
    took >= limit && took < limit + Duration::from_millis(100)
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_half_a_head_is_cut_in_time() {
    let server = server(LIMITS);
    for said in ["", "G", "GET /who HTTP/1.1\r\nHost: x\r\n"] {
        let mut client = connect(&server);
        client.write_all(said.as_bytes()).await.unwrap();
        let (answer, took) = until_closed(client).await;
        assert!(about(took, LIMITS.head), "{said:?}: {took:?}");
        assert!(!answer.contains("200 OK"), "{said:?}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_cut_as_if_nothing_came() {
    let mut client = connect(&server(LIMITS));
    let start = Instant::now();
    let drip = async {
        while client.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    drip.await;
    assert!(start.elapsed() <= LIMITS.head + Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_long_is_refused() {
    let mut client = connect(&server(LIMITS));
    let head = format!("GET /who HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(LIMITS.head_size));
    client.write_all(head.as_bytes()).await.unwrap();
    let (answer, took) = until_closed(client).await;
    assert!(answer.starts_with("HTTP/1.1 431 ") && took < LIMITS.head, "{took:?}: {answer}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_or_drips_or_is_too_long_is_refused_in_time() {
    let server = server(LIMITS);
    let mut client = connect(&server);
    client.write_all(b"POST /say HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n").await.unwrap();
    let (answer, took) = until_closed(client).await;
    assert!(about(took, LIMITS.body), "{took:?}");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");

    let (mut reader, mut writer) = tokio::io::split(connect(&server));
    writer.write_all(b"POST /say HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n").await.unwrap();
    let start = Instant::now();
    let drip = async {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let mut answer = String::new();
    let (_, read) = tokio::join!(drip, reader.read_to_string(&mut answer));
    assert!(read.is_ok() && answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(start.elapsed() <= LIMITS.body + Duration::from_secs(2), "{:?}", start.elapsed());

    let mut client = connect(&server);
    let long = "x".repeat(LIMITS.body_size + 1);
    let request = format!("POST /say HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{long}", long.len());
    client.write_all(request.as_bytes()).await.unwrap();
    let (answer, _) = until_closed(client).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_take_long_and_its_client_waits_in_peace_and_learns_who_it_is() {
    let server = server(LIMITS);
    let mut client = connect(&server);
    client.write_all(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut start = [0; 15];
    client.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");

    // After an answer it may ask again, and is cut if it does not.
    let mut client = connect(&server);
    for _ in 0..3 {
        tokio::time::sleep(LIMITS.head - Duration::from_secs(1)).await;
        client.write_all(b"GET /who HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nsomebody") {
            assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
        }
    }
    let (rest, took) = until_closed(client).await;
    assert!(about(took, LIMITS.head), "{took:?}");
    assert_eq!(rest, "");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_for_one_request_is_closed_after_it() {
    let server = server(Limits { answered: Answered::Close, ..LIMITS });
    let mut client = connect(&server);
    client.write_all(b"GET /who HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let (answer, took) = until_closed(client).await;
    assert!(answer.ends_with("somebody") && took < LIMITS.head, "{took:?}: {answer}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_take_the_answer_or_sips_it_is_cut_in_time() {
    let server = server(LIMITS);
    for sip in [0, 64] {
        let mut client = connect(&server);
        client.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let start = Instant::now();
        let mut taken = vec![0; sip];
        // What is left in the pipe stays there, so it is the writing side that tells that the connection is gone.
        while client.write_all(b" ").await.is_ok() {
            client.read_exact(&mut taken).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(start.elapsed() <= LIMITS.answer + Duration::from_secs(2), "{sip}: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn only_so_many_are_served_at_once_and_the_next_when_one_is_gone() {
    let server = server(LIMITS);
    let silent: Vec<_> = (0..LIMITS.connections).map(|_| connect(&server)).collect();
    let mut client = connect(&server);
    let start = Instant::now();
    client.write_all(b"GET /who HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    client.read_exact(&mut first).await.unwrap();
    assert!(about(start.elapsed(), LIMITS.head), "{:?}", start.elapsed());
    drop(silent);
}

/// A listener without descriptors for a while.
struct Exhausted {
    accepted: Arc<AtomicUsize>,
    failures: usize,
    connections: Mutex<VecDeque<DuplexStream>>,
}

impl Listen for Exhausted {
    type Stream = DuplexStream;
    type Peer = &'static str;

    async fn accept(&mut self) -> io::Result<(DuplexStream, &'static str)> {
        if self.accepted.fetch_add(1, Ordering::Relaxed) < self.failures {
            return Err(nix::errno::Errno::EMFILE.into());
        }
        let next = self.connections.lock().unwrap().pop_front();
        match next {
            Some(connection) => Ok((connection, "somebody")),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn accepting_that_fails_is_tried_again_without_haste() {
    let (mut client, theirs) = duplex(4096);
    let accepted = Arc::new(AtomicUsize::new(0));
    let listener =
        Exhausted { accepted: Arc::clone(&accepted), failures: 20, connections: Mutex::new(VecDeque::from([theirs])) };
    tokio::spawn(serve(listener, router(), LIMITS));
    client.write_all(b"GET /who HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let start = Instant::now();
    let mut first = [0; 15];
    client.read_exact(&mut first).await.unwrap();
    assert!(start.elapsed() >= 20 * AFTER_FAILURE, "{:?}", start.elapsed());
    assert_eq!(accepted.load(Ordering::Relaxed), 22, "each failure once, the client, and who comes next");
}
