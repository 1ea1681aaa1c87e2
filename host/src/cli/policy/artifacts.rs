//! Policies in the store and in registries.

use std::path::{Path, PathBuf};

use clap::Args;

use super::super::{Answer, Error, render};
use super::Desk;
use super::arguments::{envelope, read};
use super::registry::{RegistryFlags, progress};
use super::text::{policy_table, policy_text};
use crate::config::{Environment, Loaded};
use crate::distribution::{self, Artifact, PolicyReference, Pulled};
use crate::model::{PolicyName, PolicyPlace, PolicyVersion, TenantId};
use crate::policies::{NewPolicy, PolicyId};
use crate::signing::Envelope;
use crate::views::{Page, Policy, PolicyDetail};

#[derive(Debug, Args)]
pub(super) struct Push {
    /// The component
    file: PathBuf,
    /// What to call it
    #[arg(long)]
    name: PolicyName,
    /// Which version of that it is, such as 1.4.0. A version never changes
    #[arg(long)]
    version: PolicyVersion,
    /// The tenant whose it is to be, who alone can be bound to it [default: the platform's, for every tenant]
    #[arg(long, value_name = "TENANT", conflicts_with = "to")]
    owner: Option<TenantId>,
    /// A file with what somebody signed of it; may be repeated
    #[arg(long = "signature", value_name = "FILE")]
    signatures: Vec<PathBuf>,
    /// Into a registry instead, such as ghcr.io/acme/keep:1.4.0
    #[arg(long, value_name = "REFERENCE")]
    to: Option<PolicyReference>,
    #[command(flatten)]
    registry: RegistryFlags,
}

#[derive(Debug, Args)]
#[group(id = "target", required = true, multiple = false, args = ["output", "into_store"])]
pub(super) struct Pull {
    /// Where it is: such as ghcr.io/acme/keep:1.4.0, or …@sha256:…
    reference: PolicyReference,
    /// Into a file; what is signed of it goes beside it, as FILE.1.sig, FILE.2.sig and so on
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Into the store, with what is signed of it
    #[arg(long)]
    into_store: bool,
    /// What to call it in the store [default: as the registry does]
    #[arg(long, requires = "into_store")]
    name: Option<PolicyName>,
    /// Which version of that it is [default: as the registry says]
    #[arg(long, requires = "into_store")]
    version: Option<PolicyVersion>,
    /// The tenant whose it is to be [default: the platform's]
    #[arg(long, value_name = "TENANT", requires = "into_store")]
    owner: Option<TenantId>,
    #[command(flatten)]
    registry: RegistryFlags,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only of this name
    #[arg(long)]
    name: Option<PolicyName>,
    /// After this place, [OWNER/]NAME@VERSION: where the last page ended
    #[arg(long, value_name = "PLACE")]
    after: Option<PolicyPlace>,
    /// Rows at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// NAME@VERSION, or a digest
    policy: PolicyId,
    /// This tenant's own, rather than the platform's of that name and version
    #[arg(long, value_name = "TENANT")]
    owner: Option<TenantId>,
}

impl Push {
    pub(super) async fn run(self, loaded: Loaded, environment: &Environment, json: bool) -> Result<Answer, Error> {
        let largest = loaded.config.admission.shape.component_bytes;
        let component = read(&self.file, largest)?;
        let signatures = self.signatures.iter().map(|path| envelope(path)).collect::<Result<Vec<_>, _>>()?;
        let Self { name, version, owner, .. } = self;
        let Some(reference) = self.to else {
            let desk = Desk::open(loaded, environment.operator(), json).await?;
            return add(&desk, NewPolicy { name, version, owner, component, signatures }).await;
        };
        let options = self.registry.options(&reference, environment, largest)?;
        let artifact = Artifact { name, version, component, envelopes: signatures };
        let bar = progress(json);
        let mut told = |done, total| travelled(&bar, done, total);
        let pushed = distribution::push(&reference, &artifact, &options, &mut told).await?;
        bar.finish_and_clear();
        let pinned = pushed.pinned;
        if json {
            return Ok(Answer::ok(render::json(&serde_json::json!({ "reference": pinned }))?));
        }
        Ok(Answer::ok(format!("pushed to {reference}\n  pinned: {pinned}\n")))
    }
}

async fn add(desk: &Desk, new: NewPolicy) -> Result<Answer, Error> {
    let pushed = desk.policies.push(&desk.caller, new).await?;
    let view = PolicyDetail::from(&pushed.details);
    if desk.json {
        return Ok(Answer::ok(render::json(&view)?));
    }
    let said = if pushed.is_new { "pushed" } else { "was there already" };
    Ok(Answer::ok(format!("{}@{}: {said}\n{}", view.policy.name, view.policy.version, policy_text(&view))))
}

fn travelled(bar: &indicatif::ProgressBar, done: u64, total: u64) {
    bar.set_length(total);
    bar.set_position(done);
}

impl Pull {
    pub(super) async fn run(self, loaded: Loaded, environment: &Environment, json: bool) -> Result<Answer, Error> {
        let Self { reference, output, name, version, owner, registry, .. } = self;
        let options = registry.options(&reference, environment, loaded.config.admission.shape.component_bytes)?;
        let bar = progress(json);
        let mut told = |done, total| travelled(&bar, done, total);
        let pulled = distribution::pull(&reference, &options, &mut told).await?;
        bar.finish_and_clear();
        if let Some(output) = output {
            return written(&pulled, &output, json);
        }
        let unnamed = |what| Error::Usage(format!("the registry gives no {what} that can be used here: say --{what}"));
        let name = name.or(pulled.name).ok_or_else(|| unnamed("name"))?;
        let version = version.or(pulled.version).ok_or_else(|| unnamed("version"))?;
        let desk = Desk::open(loaded, environment.operator(), json).await?;
        let new = NewPolicy { name, version, owner, component: pulled.component, signatures: pulled.envelopes };
        add(&desk, new).await
    }
}

fn written(pulled: &Pulled, output: &Path, json: bool) -> Result<Answer, Error> {
    let write = |path: &Path, bytes: &[u8]| {
        std::fs::write(path, bytes).map_err(|source| Error::File { path: path.to_owned(), source })
    };
    write(output, &pulled.component)?;
    for (number, envelope) in (1..).zip(&pulled.envelopes) {
        let mut path = output.as_os_str().to_owned();
        path.push(format!(".{number}.sig"));
        write(Path::new(&path), (Envelope::to_json(envelope) + "\n").as_bytes())?;
    }
    let (digest, pinned, signatures) = (&pulled.digest, &pulled.pinned, pulled.envelopes.len());
    if json {
        let said = serde_json::json!({ "reference": pinned, "digest": digest.as_str(), "signatures": signatures });
        return Ok(Answer::ok(render::json(&said)?));
    }
    Ok(Answer::ok(format!("pulled {pinned}\n  component {digest}, with {signatures} signatures, all unverified\n")))
}

impl List {
    pub(super) async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        let rows = desk.policies.list(&desk.caller, self.name, self.after.as_ref(), self.limit + 1).await?;
        let page: Page<Policy> = Page::of(&rows, self.limit, |last| last.place().to_string());
        Ok(Answer::ok(if desk.json { render::json(&page)? } else { policy_table(&page) }))
    }
}

impl Show {
    pub(super) async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        let digest = desk.policies.find(&desk.caller, self.owner.as_ref(), &self.policy).await?;
        let view = PolicyDetail::from(&desk.policies.show(&desk.caller, &digest).await?);
        Ok(Answer::ok(if desk.json { render::json(&view)? } else { policy_text(&view) }))
    }
}
