//! The labels that images give to their containers, remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::client::{CallError, Client};
use crate::model::Labels;

/// Images remembered. Beyond that the memory starts anew: a platform runs few images at a time.
const REMEMBERED: usize = 1_024;

/// Labels by image id. An id is a digest, so what it stands for never changes.
#[derive(Debug, Default)]
pub(super) struct ImageLabels {
    known: Mutex<HashMap<String, Arc<Labels>>>,
}

impl ImageLabels {
    /// The image's labels; none if the image is gone and was not seen before.
    pub(super) async fn of(&self, client: &Client, image_id: &str) -> Result<Option<Arc<Labels>>, CallError> {
        if let Some(labels) = self.lock().get(image_id) {
            return Ok(Some(Arc::clone(labels)));
        }
        if !is_digest(image_id) {
            return Ok(None);
        }
        let Some(labels) = client.image_labels(image_id).await?.map(Arc::new) else { return Ok(None) };
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(image_id.to_owned(), Arc::clone(&labels));
        Ok(Some(labels))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Labels>>> {
        // A map that was cleared half way is still a map of true entries.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id goes into a request's path as it is. Podman leaves the algorithm out.
fn is_digest(image_id: &str) -> bool {
    let hex = image_id.strip_prefix("sha256:").unwrap_or(image_id);
    hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit())
}
