use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use salus_ingest::fhir::pull::Nudge;
use salus_model::Secret;

/// Where servers that the site pulls from knock when something changed there.
///
/// # Privacy
/// A knock carries nothing, and all that it does is that a pull begins earlier. Each server has a
/// secret of its own; a name that is not known and a wrong secret answer alike.
#[derive(Clone, Default)]
pub struct Hooks(Arc<RwLock<BTreeMap<String, Door>>>);

struct Door {
    secret: Secret<String>,
    nudge: Nudge,
}

impl Hooks {
    /// Below which path servers knock.
    pub const PATH: &str = "/fhir-hooks";

    /// From now on a server that shows the secret is heard.
    pub fn open(&self, source: &str, secret: Secret<String>, nudge: Nudge) {
        self.0.write().insert(source.to_owned(), Door { secret, nudge });
    }

    /// Whether whoever knocks is heard; if so, the pull begins.
    #[must_use]
    pub fn knock(&self, source: &str, shown: &str) -> bool {
        let doors = self.0.read();
        let shown = Secret::new(shown.to_owned());
        let heard = doors.get(source).filter(|door| door.secret == shown);
        heard.map(|door| door.nudge.now()).is_some()
    }
}
