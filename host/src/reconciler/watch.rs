//! Passes for ever: one at each interval, and an early one soon after the engine hinted that something happened.
//!
//! A hint changes nothing by itself; it only says that looking may be worth it. So one that is lost, doubled or
//! wrong costs time and nothing else.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep, timeout};

use super::Reconciler;
use crate::model::ContainerId;
use crate::ports::Hints;

/// What happens together is looked at together.
const GATHER: Duration = Duration::from_millis(250);
/// Passes by hints take at most the eleventh part of the time, however much happens.
const REST: u32 = 10;
/// A new stream may miss what happens while it is being opened.
const OPENING: Duration = Duration::from_secs(1);
/// A stream is opened anew after so long: one whose other end is gone may never say so.
const LISTEN: Duration = Duration::from_secs(600);
/// The first pause before a stream that ended, or could not be opened, is opened again; each later is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Reconciler {
    /// Passes until it is dropped, `interval` apart or earlier by a hint. What a pass has to say, it logs.
    pub async fn run_for_ever(&self, interval: impl Fn() -> Duration + Send + Sync) {
        tokio::join!(self.poll(interval), self.follow());
    }

    async fn poll(&self, interval: impl Fn() -> Duration) {
        loop {
            let began = Instant::now();
            // It has told log and metrics.
            let _told = self.run().await;
            let rest = GATHER.max(began.elapsed() * REST);
            tokio::select! {
                () = sleep(interval()) => {}
                () = async {
                    self.hinted.anything().await;
                    sleep(rest).await;
                } => {}
            }
        }
    }

    async fn follow(&self) {
        let labels = &self.options.ownership.labels;
        // A platform that writes the records need not label its containers.
        let owner = [(labels.owner.clone(), self.options.ownership.owner.clone())];
        let wanted = if self.options.discovers { owner.as_slice() } else { &[] };
        let mut pause = FIRST_PAUSE;
        loop {
            match self.engine.watch(wanted).await {
                Ok(None) => return,
                Ok(Some(hints)) => {
                    let began = Instant::now();
                    self.listen(hints).await;
                    tracing::debug!(engine = %self.name, after = ?began.elapsed(), "the engine's events ended");
                    if began.elapsed() > LONGEST_PAUSE {
                        pause = FIRST_PAUSE;
                    }
                }
                Err(error) => tracing::debug!(engine = %self.name, %error, "the engine's events cannot be followed"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn listen(&self, mut hints: Hints) {
        let opening = timeout(OPENING, self.heed(&mut hints)).await;
        self.hinted.at_anything();
        if opening.is_err() {
            // In either case it is opened anew.
            let _ended = timeout(LISTEN, self.heed(&mut hints)).await;
        }
    }

    /// Until the stream ends.
    async fn heed(&self, hints: &mut Hints) {
        while let Some(container) = hints.next().await {
            if self.may_concern_us(&container).await {
                self.hinted.at(container);
            }
        }
    }

    /// Without labels to go by, only a record tells. When in doubt, it is looked.
    async fn may_concern_us(&self, container: &ContainerId) -> bool {
        self.options.discovers || !matches!(self.records.by_container(container).await, Ok(None))
    }
}
