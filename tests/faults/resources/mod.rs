//! The host is short of memory, descriptors or CPU, or of none of these but of room in a folder.

mod limits;

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use plane::{Endpoint, Fault};
use runtime_agent::config::{ByteSize, Settings};
use tokio::process::Command;

use crate::campaign::{Case, family};
use crate::moments::{Moment, crossed, parted, variation};
use crate::oracle::Breach;
use crate::room::Room;
use limits::{Group, Limit, Starved, limited};

/// So much memory is what a small host may spare.
const MEMORY: u64 = 64 * MIB;
const MIB: u64 = 1024 * 1024;

/// How many callers there are at the control socket: more than descriptors.
const CALLERS: usize = 60;

/// How many files lie where a token is to lie.
const CROWD: usize = 10_000;

/// What the host is short of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shortage {
    /// Memory.
    Memory,
    /// Memory, and the plane sends more than would fit.
    MemoryAndBombs,
    /// Memory, and the plane sends what would be allowed, were there any memory for it: the system may end the agent.
    MemoryAndAnswers,
    /// Descriptors.
    Descriptors,
    /// Descriptors, and callers at the control socket take those that there are.
    DescriptorsAndCallers,
    /// CPU.
    Cpu,
    /// Nothing; but the folder of tokens is crowded.
    Crowd,
}

/// All of them.
const SHORTAGES: [(&str, Shortage); 7] = [
    ("64 MB of memory", Shortage::Memory),
    ("64 MB of memory and bombs", Shortage::MemoryAndBombs),
    ("64 MB of memory and answers of 48", Shortage::MemoryAndAnswers),
    ("32 descriptors", Shortage::Descriptors),
    ("32 descriptors and 60 callers", Shortage::DescriptorsAndCallers),
    ("a hundredth of a CPU", Shortage::Cpu),
    ("10000 files beside the token", Shortage::Crowd),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_promise_is_broken_whatever_the_host_is_short_of() {
    family("resources").in_order(crossed(SHORTAGES.map(|(name, _)| name))).short(7).at_once(3).run(short).await;
}

/// What there is while the host is short of something.
#[derive(Default)]
struct Trouble {
    group: Option<Group>,
    starved: Option<Starved>,
    callers: Vec<UnixStream>,
}

/// Runs a case.
async fn short(case: Case) -> Vec<Breach> {
    let (name, moment, phase) = parted(&case.name);
    let (_, shortage) = SHORTAGES.into_iter().find(|(known, _)| *known == name).unwrap();
    let mut variation = variation(phase);
    // What a broker cannot have at its start it tries to get again each minute.
    variation.patience = Duration::from_secs(90);
    if shortage == Shortage::MemoryAndAnswers {
        variation.settings = Arc::new(|settings: &mut Settings| settings.plane.max_answer = ByteSize::new(MEMORY));
        // Where the system lets it live.
        variation.bounds.memory = 3 * MEMORY / 1024;
    }
    let room = Room::new(&variation).await;
    let (command, _memory) = shortage.command(room.host().command(&["run"]));
    let agent = room.start_command(command).await;
    room.prepared(&agent, phase).await;

    let before = room.plane().requests().len();
    let mut trouble = Trouble::default();
    if moment == Moment::Before {
        trouble = shortage.begin(&room, agent.pid());
    }
    room.go(&agent, phase).await;
    if moment == Moment::Amid {
        trouble = shortage.begin(&room, agent.pid());
    }
    room.feels(phase, before).await;
    trouble.end(agent.pid());
    if shortage == Shortage::MemoryAndAnswers {
        // Whoever was ended by the system is started again, as by systemd.
        agent.kill().await;
        return room.ends_well(None, &case.name).await;
    }
    room.ends_well(Some(agent), &case.name).await
}

impl Shortage {
    /// The command under limits that hold from its beginning; as long as the group, if there is one.
    fn command(self, command: Command) -> (Command, Option<Group>) {
        match self {
            Self::Memory | Self::MemoryAndBombs | Self::MemoryAndAnswers => match Group::new(Limit::Memory(MEMORY)) {
                Ok(group) => (group.command(&command), Some(group)),
                Err(_) => (limited(&format!("-d {}", MEMORY / 1024), &command), None),
            },
            Self::Descriptors | Self::DescriptorsAndCallers => (limited("-n 32", &command), None),
            Self::Cpu | Self::Crowd => (command, None),
        }
    }

    /// What begins only with the trouble.
    fn begin(self, room: &Room, pid: u32) -> Trouble {
        let mut trouble = Trouble::default();
        match self {
            Self::Memory | Self::Descriptors => {}
            Self::MemoryAndBombs => {
                room.plane().fault(Fault::on(Endpoint::Director).gzip_bomb(512 * MIB).times(1));
                room.plane().fault(Fault::on(Endpoint::Director).after(1).huge(512 * MIB).times(1));
            }
            Self::MemoryAndAnswers => room.plane().fault(Fault::on(Endpoint::Director).huge(48 * MIB).times(1)),
            Self::DescriptorsAndCallers => trouble.callers = callers(room),
            Self::Cpu => match Group::new(Limit::Cpu(1)) {
                Ok(group) => {
                    group.take(pid);
                    trouble.group = Some(group);
                }
                Err(_) => trouble.starved = Some(Starved::new(pid)),
            },
            Self::Crowd => {
                let folder = room.host().path("pairing");
                for number in 0..CROWD {
                    fs::write(folder.join(format!("token-{number}")), "not a token").unwrap();
                }
            }
        }
        trouble
    }
}

impl Trouble {
    fn end(self, pid: u32) {
        if let Some(group) = self.group {
            group.release(pid);
        }
    }
}

/// Callers who say half of what they want, and wait.
fn callers(room: &Room) -> Vec<UnixStream> {
    let socket = room.host().path("run/control.sock");
    let call = || {
        // Where no more fit into the socket's queue, none is waited for.
        let caller = UnixStream::connect(&socket).ok()?;
        (&caller).write_all(b"GET /status HTTP/1.1\r\n").ok()?;
        Some(caller)
    };
    (0..CALLERS).map_while(|_| call()).collect()
}
