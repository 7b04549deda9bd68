//! Which message an entry of the journal is: fixed 128-bit numbers, by which `journalctl -x` finds its explanation in
//! systemd/runtime-agent.catalog.

macro_rules! messages {
    ($($(#[doc = $doc:literal])* $name:ident = $id:literal,)*) => {
        /// A message that people, or their tools, may look for. Its number never changes, whatever becomes of the words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Message {
            $($(#[doc = $doc])* $name,)*
        }

        impl Message {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The number, as the journal's field `MESSAGE_ID` has it: 32 hexadecimal digits (sd_journal_print(3)).
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$name => $id,)*
                }
            }
        }
    };
}

messages! {
    /// The agent has started.
    Started = "deab47f54eb116f01e6379e42ddbeccd",
    /// The agent ends, because it was told to.
    Ended = "493bcdaef0f325c541597a5bf5a2bdc0",
    /// The agent cannot run, and has ended.
    CannotRun = "f5228ca660aba92bdd987d32854fc41a",
    /// A loop does not come round, and systemd's watchdog restarts the agent.
    LoopHangs = "fd32ca1820886b0ad3caaec987ded3e1",
    /// The configuration was read again.
    Reloaded = "c3d9b2ec1baaf3ca4e031c60b2859134",
    /// There is no identity, and the agent waits for a token.
    WaitingForToken = "69ff5a7ad16795f0de8613ad412891ed",
    /// A token was dropped.
    TokenDropped = "1c20bbf844c64ed9d9ac125e9279ee84",
    /// The Connector accepted the token.
    TokenAccepted = "f52156f0ca37d482bc5c076f7e4aeacf",
    /// A token is of no use, and the identity in use stays.
    TokenRefused = "57e522f5b48eb818bcf0af96bd9d286e",
    /// The host is paired.
    Paired = "5ec4db0e0f6192d6630acfcfee160018",
    /// The host is unpaired.
    Unpaired = "fcc4cb81ed008d92e119f464126b1d24",
    /// The host is unpaired, and its certificate is still valid at the plane.
    NotRevoked = "38fa738ab2dca0e9f81f010e0e97353c",
    /// The certificate is renewed.
    Renewed = "5dc5d0699ca15dc65c22334ed9da45ed",
    /// The plane has moved to another address.
    PlaneMoved = "feb5f5078fa80d3c4d4d9dba882c11ec",
    /// The identity in use is damaged, and the one before it took its place.
    IdentityFellBack = "c4f5cb193516bb2357cb3a57eca25c41",
    /// It cannot be set who may read the identity.
    ReadersNotSet = "d151f51eedc2dcca91e173f6785d71f0",
    /// A generation of files is published.
    Published = "009daa543d7a1020f25f1d544286b976",
    /// The files are rolled back.
    RolledBack = "214253e3db8a884ba4604145ef92eec9",
    /// The files follow the plane again.
    FollowsAgain = "ac2fbfec8e61bd7c16cfb4d6b8363c05",
    /// The files were made anew from what the plane said before.
    MadeAnew = "d0fcecc3c251b0a5d5b194e976168ebf",
    /// The files that are published are damaged.
    OutputDamaged = "a4ecaee0b4210542ab098f9f0040a8d4",
    /// What was kept of the plane's last word is damaged.
    SnapshotDamaged = "a543c5842c576901a87e8743b7c82a00",
    /// A hook failed.
    HookFailed = "b5a16c151b7fe3f3c81c53f0e0356215",
    /// A problem with the file in which a token is dropped.
    ProblemTokenFile = "08a20b93bb4fe6a26149545fdf09f136",
    /// A problem with getting an identity.
    ProblemPairing = "f4e109e5a33c507bd44ccd3925b24fe2",
    /// A problem with keeping the identity.
    ProblemRenewal = "4e0aa62ef6be6e51f736fc952638f69a",
    /// The identity cannot be used any more, or not yet.
    ProblemCertificate = "91d3778a8288bc9b2c95770b868d075e",
    /// The clock of the host is wrong.
    ProblemClock = "17fc81c4d3e3e87fb4097ae62b29d7f3",
    /// A problem with asking the plane.
    ProblemSync = "04824620a87d47167cdbe683f38bb38a",
    /// The plane removes much at once, which is doubted.
    ProblemRemovals = "e577f1c2d24f3ed8a04d66814406ded4",
    /// A problem with the texts of specifications and documents.
    ProblemSpecifications = "2a2ca6d715d2539c275921bb3f85d69c",
    /// A problem with templates.
    ProblemTemplates = "230ce5152e93420b95b07d0295824273",
    /// A problem with writing files.
    ProblemOutput = "209dfb4d687c22c0c1d1976c95e55897",
    /// A problem with hooks, or with installing files.
    ProblemApply = "e5607b0df84dd8a4a07e08a9acf256ff",
    /// A problem with the labels of the runtime.
    ProblemReport = "78f28b358a42c0fb6cfc60f973ad3daa",
    /// A problem with the configuration file.
    ProblemConfiguration = "c9e1c8838187516c22d8631cf2b6eba3",
    /// A problem with the address at which metrics are served.
    ProblemMetrics = "7d7245889b1d3675996802fc1e742c58",
    /// A problem with the file that metrics are written to.
    ProblemMetricsFile = "2cdb7abee0578696ac4d9984706b550c",
    /// A problem with serving the service broker.
    ProblemBroker = "677b5b7250ea448ab26ccdde6b6d4538",
    /// A problem with what the service broker remembers.
    ProblemBrokerStore = "5d0c9cf2b9d54ed1a41c7a1c2f6c1e2b",
    /// There are credentials at the plane that no service binding stands for.
    ProblemOrphans = "0a4b5b7cc1e24a5a8b7fa8f0e5f2c5d7",
    /// A problem is over.
    ProblemOver = "1ad113c42822e8abb32e9589d261be3a",
    /// An installation could not be taken back whole.
    NotTakenBack = "50b503ed9f4473cdcf66d9fd5e80a71d",
    /// The applier cannot apply anything.
    NothingApplied = "20294ce10e1469fdeeb604a536765bf9",
    /// What the applier remembered of its work is not readable.
    RecordLost = "aaf4c8474dbe608c0985da168d806e68",
    /// A hook has failed for so long that it has to compare everything.
    HookForgets = "807eda69ce0cca74ce37f83e08475bf7",
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_messages_have_the_same_number_and_each_is_one_of_systemd() {
        let ids: BTreeSet<_> = Message::ALL.iter().map(|message| message.id()).collect();
        assert_eq!(ids.len(), Message::ALL.len());
        for id in ids {
            assert!(id.len() == 32 && id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{id}");
        }
    }
}
