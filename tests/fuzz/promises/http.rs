//! Whatever a client says over a connection, to a router, in memory; time passes as fast as everybody waits.

use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use axum::Router;
use runtime_agent::serving::{Answered, Limits, Listen, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};

/// As the agent's own servers have them.
const LIMITS: Limits = Limits {
    connections: 4,
    head: Duration::from_secs(10),
    head_size: 32 * 1024,
    body: Duration::from_secs(10),
    body_size: 64 * 1024,
    answer: Duration::from_secs(30),
    answered: Answered::Close,
};

/// More than any answer has.
const ROOM: usize = 1024 * 1024;

thread_local! {
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("there is a runtime");
}

/// An answer.
#[derive(Debug)]
pub struct Heard {
    pub status: u16,
    /// By their names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Heard {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One connection, and nobody else.
struct Once<P>(Option<(DuplexStream, P)>);

impl<P: Clone + Send + Sync + 'static> Listen for Once<P> {
    type Stream = DuplexStream;
    type Peer = P;

    async fn accept(&mut self) -> io::Result<(DuplexStream, P)> {
        match self.0.take() {
            Some(connection) => Ok(connection),
            None => pending().await,
        }
    }
}

/// What `peer` hears who says `said`, while `behind` does what the router orders; nothing, where the server hangs up.
pub fn ask<P>(make: impl FnOnce() -> Router, peer: P, said: &[u8], behind: impl Future<Output = ()>) -> Option<Heard>
where
    P: Clone + Send + Sync + 'static,
{
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (mut client, server) = duplex(ROOM);
            let asking = async {
                // A server that has heard enough does not wait for the rest.
                let _ = client.write_all(said).await;
                let mut heard = Vec::new();
                let _ = client.read_to_end(&mut heard).await;
                heard
            };
            let heard = tokio::select! {
                heard = asking => heard,
                () = serve(Once(Some((server, peer))), make(), LIMITS) => unreachable!("it serves for ever"),
                () = async { behind.await; pending().await } => unreachable!("it waits for ever"),
            };
            parse(&heard)
        })
    })
}

/// Reads an answer as clients do.
fn parse(heard: &[u8]) -> Option<Heard> {
    if heard.is_empty() {
        return None;
    }
    let end = heard.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an answer has a head");
    let (head, body) = (std::str::from_utf8(&heard[..end]).expect("a head is text"), &heard[end + 4..]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("an answer has a status");
    if status == 100 {
        return parse(body);
    }
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        (name.to_ascii_lowercase(), value.to_owned())
    };
    Some(Heard { status, headers: lines.map(header).collect(), body: body.to_vec() })
}
