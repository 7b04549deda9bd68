//! Whatever comes over the control socket, those who may are answered as it is written, and those who may not change and
//! learn nothing.

use std::cell::Cell;

use jiff::Timestamp;
use runtime_agent::agent::pulse::Pulses;
use runtime_agent::agent::status::Status;
use runtime_agent::agent::{PersonAsked, SyncOrder, TrustOrder, VersionOrder};
use runtime_agent::broker::{Broker, Order, Overview, Refusal};
use runtime_agent::config::Control;
use runtime_agent::control::{Answer, Handles, Observed, router};
use runtime_agent::peers::Peer;
use tokio::sync::{mpsc, watch};

use super::http::{Heard, ask};

/// What the status holds, and nobody may learn who may not look.
const TOKEN_PATH: &str = "/canary/path/of/the/status";

/// The user that the agent runs as, and one that the host does not know.
const OWN: u32 = 990;
const STRANGER: u32 = 54_321;

/// Takes `case` for what a client says.
///
/// # Panics
/// When a promise is broken.
pub fn hold(case: &[u8]) {
    let (heard, ordered) = asked(case, Peer::somebody(OWN, OWN, OWN));
    let (again, _) = asked(case, Peer::somebody(OWN, OWN, OWN));
    assert_eq!(heard.as_ref().map(|heard| heard.status), again.map(|heard| heard.status), "it is answered otherwise");
    assert!(ordered <= 1, "one request gave {ordered} orders");
    if let Some(heard) = heard {
        granted(&heard, ordered);
    }
    let (heard, ordered) = asked(case, Peer::somebody(STRANGER, STRANGER, OWN));
    assert_eq!(ordered, 0, "a stranger gave an order");
    if let Some(heard) = heard {
        assert!(!String::from_utf8_lossy(&heard.body).contains("canary"), "a stranger learns: {heard:?}");
        // Else it was no request, and nobody was asked who it is from.
        if heard.status == 403 && heard.body.is_empty() {
            assert!(case.windows(4).any(|bytes| bytes == b"HEAD"), "a refusal without a word: {heard:?}");
        } else if heard.status == 403 {
            let answer: Answer = serde_json::from_value(heard.json()).expect("a refusal is an answer");
            assert!(!answer.done && answer.message.contains("runtime-agent-"), "{answer:?}");
        } else {
            no_request(&heard);
        }
    }
}

/// What the server itself answers to what is no HTTP.
fn no_request(heard: &Heard) {
    assert!(matches!(heard.status, 400 | 414 | 431) && heard.body.is_empty(), "{heard:?}");
}

fn granted(heard: &Heard, ordered: usize) {
    match heard.status {
        // What is done, and what is not done for a reason: even where only the head was asked for.
        200 | 409 => {
            if heard.header("content-type") == Some("application/json") && !heard.body.is_empty() {
                assert!(heard.json().is_object(), "{heard:?}");
            }
        }
        // The agent is not ready, for it is not paired.
        503 => assert!(ordered == 0 && (heard.body == b"not paired\n" || heard.body.is_empty()), "{heard:?}"),
        400 | 404 | 405 | 413 | 414 | 415 | 422 | 431 => {
            assert_eq!(ordered, 0, "what was refused was done: {heard:?}");
            assert!(heard.body.len() < 4_096, "too much is said: {heard:?}");
        }
        _ => panic!("an answer that nobody expects: {heard:?}"),
    }
}

/// What somebody hears, and how many orders came of it.
fn asked(case: &[u8], peer: Peer) -> (Option<Heard>, usize) {
    let ordered = Cell::new(0);
    let status = watch::Sender::new(Status::new(TOKEN_PATH.into(), Timestamp::UNIX_EPOCH));
    let control = watch::Sender::new(Control::default());
    let (sync, mut syncs) = mpsc::channel::<SyncOrder>(1);
    let (trust, mut trusts) = mpsc::channel::<TrustOrder>(1);
    let (versions, mut version_orders) = mpsc::channel::<VersionOrder>(1);
    let (orders, mut broker_orders) = mpsc::channel::<Order>(1);
    let handles = Handles {
        observed: Observed { status: status.subscribe(), pulses: Pulses::of(&[]) },
        status: status.subscribe(),
        sync,
        trust,
        versions,
        asked: watch::Sender::new(PersonAsked::default()),
        broker: Broker::new(orders),
        control: control.subscribe(),
    };
    let behind = async {
        loop {
            let reply = tokio::select! {
                Some(order) = syncs.recv() => order.answer,
                Some(order) = version_orders.recv() => order.answer,
                Some(order) = trusts.recv() => match order {
                    TrustOrder::Renew(answer) | TrustOrder::Unpair(_, answer) => answer,
                },
                Some(order) = broker_orders.recv() => {
                    if let Order::Overview(reply) = order {
                        // It is looked at, and nothing is ordered.
                        let off = Refusal::Unavailable { why: "It is off.".into(), ask_again_in: None };
                        let _ = reply.send(if case.len().is_multiple_of(2) { Ok(Overview::default().into()) } else { Err(off) });
                    }
                    continue;
                }
                else => return,
            };
            ordered.set(ordered.get() + 1);
            let _ = reply.send(if case.len().is_multiple_of(2) {
                Ok("It is done.".into())
            } else {
                Err("It is not.".into())
            });
        }
    };
    let heard = ask(|| router(handles), peer, case, behind);
    (heard, ordered.get())
}
