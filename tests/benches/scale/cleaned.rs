//! Pages with what a sweep does about them: each row is reviewed and cleaned up, on a container engine in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rtmanager::adapters::memory::MemoryEngine;
use rtmanager::adapters::system_clock::SystemClock;
use rtmanager::app::App;
use rtmanager::config::{Environment, Loaded, Sources};
use rtmanager::lifecycle::ReviewResult;
use rtmanager::model::{Outcome, TrackedRuntime};
use rtmanager::ports::{ContainerEngine, DuePage};
use rtmanager_tests::dockerd::labels;

use super::filled::Filled;

/// A host on a filled table.
pub(crate) struct Host {
    app: App,
    engine: Arc<MemoryEngine>,
}

impl Host {
    pub(crate) async fn on(table: &Filled) -> Self {
        let flags = vec![table.setting.clone(), ("admission.code_cache".to_owned(), String::new())];
        let sources = Sources { environment: Environment::default(), file: None, flags };
        let engine = Arc::new(MemoryEngine::new(Arc::new(SystemClock)));
        let port: Arc<dyn ContainerEngine> = engine.clone();
        let engines = BTreeMap::from([("local".parse().unwrap(), port)]);
        let app = App::open_with(Loaded::from_sources(&sources).unwrap().config, engines).await.unwrap();
        Self { app, engine }
    }

    /// Puts the containers of a page's rows where they belong.
    pub(crate) fn prepare(&self, page: &DuePage) {
        for TrackedRuntime { record, .. } in &page.rows {
            let (tenant, game) = (record.tenant.to_string(), record.game_id.to_string());
            let own = [("rtmanager.owner", "rtmanager"), ("rtmanager.tenant", &tenant), ("rtmanager.game", &game)];
            self.engine.create(record.container_id.as_ref().unwrap(), "registry/game:1", labels(&own));
        }
    }

    pub(crate) async fn clean_up(&self, page: DuePage) {
        for runtime in page.rows {
            let floor_passed_at = runtime.record.stopped_at.unwrap().saturating_add(Duration::from_secs(30 * 86_400));
            match self.app.lifecycle.review(runtime, floor_passed_at, false).await {
                ReviewResult::Handled(result) if result.outcome == Outcome::Success => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
