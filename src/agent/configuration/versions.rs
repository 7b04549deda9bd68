//! Back to an older generation, and on again, as a person wants it.

use super::publish::Occasion;
use super::{ConfigurationLoop, LONGEST_POLL, Version};
use crate::event;
use crate::output::{OutputError, Published};

impl ConfigurationLoop {
    /// Makes another generation current. The result is a sentence for whoever asked for it.
    pub(super) async fn change_version(&mut self, version: Version) -> Result<String, String> {
        self.around.pulse.within(LONGEST_POLL);
        match version {
            Version::Number(number) => self.roll_back(Some(number)).await,
            Version::Previous => self.roll_back(None).await,
            Version::Newest => self.resume().await,
        }
    }

    async fn roll_back(&mut self, to: Option<crate::output::manifest::GenerationNumber>) -> Result<String, String> {
        let rolled = self.with_shelf(move |shelf| {
            let rolled = shelf.store.roll_back(to);
            (rolled, shelf.store.current().map_or(0, |manifest| manifest.applications.len()))
        });
        let Some((rolled, applications)) = rolled.await else { return Err("The last write is not done yet.".into()) };
        self.show_current();
        match rolled {
            Ok(Published::New { generation, changes }) => {
                // What was to be written would only be held back.
                self.unwritten = None;
                self.announce(generation, &changes, applications);
                event::Output::RolledBack(generation).emit();
                Ok(format!(
                    "The files are those of generation {generation} again: {applications} applications. They stay so, \
                     whatever the plane says, until `runtime-agent resume`."
                ))
            }
            Ok(Published::RolledBack(number)) => Ok(format!(
                "The files are those of generation {number} already. They stay so until `runtime-agent resume`."
            )),
            Ok(Published::Unchanged) => Ok("Nothing changed.".into()),
            Err(OutputError::NoSuchGeneration(why)) => Err(format!("Nothing is rolled back: {why}.")),
            Err(error) => Err(format!("The files cannot be rolled back: {error}.")),
        }
    }

    async fn resume(&mut self) -> Result<String, String> {
        let Some(resumed) = self.with_shelf(|shelf| shelf.store.resume()).await else {
            return Err("The last write is not done yet.".into());
        };
        self.show_current();
        match resumed {
            Ok(false) => return Ok("Nothing was rolled back; the files are as the plane says.".into()),
            Ok(true) => event::Output::FollowsAgain.emit(),
            Err(error) => return Err(format!("The files stay rolled back: {error}.")),
        }
        self.restore(Occasion::Resumption).await;
        self.poll_now();
        let generation = self.around.board.read(|status| status.output.as_ref().map(|output| output.generation));
        Ok(match generation {
            Some(generation) => format!("The files follow the plane again; generation {generation} is current."),
            None => "The files follow the plane again.".into(),
        })
    }
}
