//! Binding a scope to a policy: what is examined before, and the swap.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::authority::Extent;
use super::{AuthorityChange, Error, Policies, PolicyId, Scenarios, may_change, may_see};
use crate::access::{Caller, Deed};
use crate::admission::Authority;
use crate::model::{
    BindingSpec, Ceiling, Generation, Grants, LimitOverrides, PolicyArtifact, PolicyScope, PolicyVersion, Signed,
    TrustedKey, bounded_text,
};
use crate::ports::{SwapError, SwapKind};
use crate::runtime::Limits;
use crate::signing::{self, Envelope, PublicKey, TenantScope};

/// Generations of a scope that are staged and have neither served nor been tried.
const MOST_STAGED: u64 = 20;

/// What to bind a scope to, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Which policy.
    pub policy: PolicyId,
    /// What it reads through `wasi:config/store`.
    pub settings: BTreeMap<String, String>,
    /// How much less than the host allows it may use.
    pub limits: LimitOverrides,
    /// What it may import and do; none for what it imports.
    pub grants: Option<Grants>,
    /// Why.
    pub reason: String,
    /// The generation that has to be current, 0 meaning that the scope has none; none for whichever is.
    pub expected: Option<u64>,
    /// Whether the new one may do more than the current one.
    pub accept_authority: bool,
    /// How long to wait for all hosts to be ready to serve it.
    pub patience: Duration,
    /// Whether to swap even though some hosts are not: they keep to the current one until they are.
    pub leave_behind: bool,
}

/// What was found out about a binding before it is made.
#[derive(Debug, Clone)]
pub struct Examination {
    /// The policy.
    pub artifact: PolicyArtifact,
    /// What it imports and needs.
    pub authority: Authority,
    /// What the generation would consist of.
    pub spec: BindingSpec,
    /// How what it may do differs from what serves the scope now.
    pub change: AuthorityChange,
    /// The safety scenarios that it passed.
    pub scenarios: Scenarios,
}

/// A generation that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The generation.
    pub generation: Generation,
    /// The one before; none if the scope had none.
    pub before: Option<u64>,
    /// What changed in what the policy may do.
    pub change: AuthorityChange,
    /// The safety scenarios that it passed.
    pub scenarios: Scenarios,
    /// Hosts that do not serve it yet, and what keeps each.
    pub behind: Vec<String>,
}

impl Policies {
    /// Finds out what [`Self::bind`] would, and changes nothing.
    pub async fn check(&self, caller: &Caller, scope: &PolicyScope, bind: &Bind) -> Result<Examination, Error> {
        may_see(caller, scope)?;
        let _busy = self.0.busy.enter(scope)?;
        let (_, serving) = self.serving(scope).await?;
        self.examine(scope, bind, &serving).await
    }

    /// Binds a scope: examines the policy, stages the generation, waits for the hosts to load it, and swaps.
    pub async fn bind(&self, caller: &Caller, scope: &PolicyScope, bind: Bind) -> Result<Bound, Error> {
        may_change(caller, scope)?;
        let signed = self.signed(caller, &bind.reason)?;
        let deed = deed("policy.bind", scope, &bind);
        let (desk, scope, by) = (self.clone(), scope.clone(), caller.clone());
        self.0.trail.audited(caller, deed, async move { desk.swap_in(&by, &scope, &bind, &signed).await }).await
    }

    async fn swap_in(
        &self,
        caller: &Caller,
        scope: &PolicyScope,
        bind: &Bind,
        signed: &Signed,
    ) -> Result<Bound, Error> {
        let _busy = self.0.busy.enter(scope)?;
        let (before, examined) = self.examine_to_swap(scope, bind).await?;
        let Examination { artifact, spec, change, scenarios, .. } = examined;
        let generation = self.stage(scope, &spec, signed).await?;
        let behind = self.ready(caller, &generation, before, bind).await?;
        // A ceiling or a key may have changed meanwhile.
        self.check_allowed(scope, &generation.spec).await?;
        let (generations, signed, new) = (self.0.generations.clone(), signed.clone(), generation.clone());
        let swapping = async move {
            let mark = Some((&artifact.name, &artifact.version));
            Ok::<_, Error>(generations.swap(&new.scope, before, new.number, SwapKind::Bind, mark, &signed).await?)
        };
        self.0.trail.audited(caller, resolved("policy.swap", &generation), swapping).await?;
        Ok(Bound { generation, before, change, scenarios, behind })
    }

    /// Adds a generation, if the scope has room for it.
    pub(super) async fn stage(
        &self,
        scope: &PolicyScope,
        spec: &BindingSpec,
        signed: &Signed,
    ) -> Result<Generation, Error> {
        if self.0.generations.unused(scope).await? >= MOST_STAGED {
            return Err(Error::Invalid(format!(
                "{scope} has {MOST_STAGED} generations that were staged and never used, which is the most; each is \
                 forgotten a day after it was staged"
            )));
        }
        Ok(self.0.generations.stage(scope, spec, signed).await?)
    }

    /// Everything that can be known before a generation is staged.
    pub(super) async fn examine_to_swap(
        &self,
        scope: &PolicyScope,
        bind: &Bind,
    ) -> Result<(Option<u64>, Examination), Error> {
        let (current, serving) = self.serving(scope).await?;
        if bind.expected.is_some_and(|expected| expected != current.unwrap_or_default()) {
            return Err(SwapError::Conflict { current }.into());
        }
        let examined = self.examine(scope, bind, &serving).await?;
        if examined.change.widens() && !bind.accept_authority {
            return Err(Error::Authority(Box::new(examined.change)));
        }
        Ok((current, examined))
    }

    async fn examine(&self, scope: &PolicyScope, bind: &Bind, serving: &Extent) -> Result<Examination, Error> {
        let artifact = self.artifact(scope, &bind.policy).await?;
        let ceiling = self.ceiling(scope).await?;
        self.check_signatures(scope, &artifact, &ceiling).await?;
        self.check_mark(scope, &artifact).await?;
        let looked = self.0.admission.look(self.component(&artifact.digest).await?.into()).await?;
        let grants = bind.grants.clone().unwrap_or_else(|| looked.authority.needs.clone());
        let limits = within(&bind.limits, &ceiling.limits, &self.0.limits)?;
        check_grants(scope, &grants, &ceiling)?;
        let (settings, digest) = (bind.settings.clone(), artifact.digest.clone());
        let called = Some((artifact.name.clone(), artifact.version.clone()));
        let spec = BindingSpec { digest, called, settings, limits, grants };
        let extent = Extent::of(&spec, &self.0.limits);
        let component = looked.component.clone();
        let admitted = self.0.admission.admit(looked, &spec.grants, &extent.limits).await?;
        let scenarios = self.0.gate.examine(&component, &spec).await?;
        let change = AuthorityChange::between(serving, &extent);
        Ok(Examination { artifact, authority: admitted.authority, spec, change, scenarios })
    }

    /// The scope's current generation, and what whoever serves it may do.
    async fn serving(&self, scope: &PolicyScope) -> Result<(Option<u64>, Extent), Error> {
        let own = self.0.generations.state(scope).await?.and_then(|state| state.current);
        if let Some(generation) = own {
            return Ok((Some(generation.number), Extent::of(&generation.spec, &self.0.limits)));
        }
        let everybodys = self.0.generations.state(&PolicyScope::Default).await?.and_then(|state| state.current);
        let whole = || Extent::whole(&self.0.limits);
        Ok((None, everybodys.map_or_else(whole, |generation| Extent::of(&generation.spec, &self.0.limits))))
    }

    /// The ceiling that holds in a scope; one that allows all where there is none.
    pub(super) async fn ceiling(&self, scope: &PolicyScope) -> Result<Ceiling, Error> {
        Ok(self.0.access.effective_ceiling(scope).await?.unwrap_or_default())
    }

    /// A scope that takes signed policies only trusts its own keys, and everybody's.
    pub(super) async fn check_signatures(
        &self,
        scope: &PolicyScope,
        artifact: &PolicyArtifact,
        ceiling: &Ceiling,
    ) -> Result<(), Error> {
        if !ceiling.signature_required {
            return Ok(());
        }
        let mut keys = self.0.access.keys(&PolicyScope::Default).await?;
        if scope.tenant().is_some() {
            keys.extend(self.0.access.keys(scope).await?);
        }
        // Revoked in one of them, a key counts in neither.
        let revoked: BTreeSet<_> =
            keys.iter().filter(|key| key.revoked_at.is_some()).map(|key| key.id.clone()).collect();
        let trusted: Vec<_> = keys.iter().filter_map(|key| trusted(key, revoked.contains(&key.id))).collect();
        let (subject, mut causes) = (artifact.subject(scope.tenant()), Vec::new());
        // What vouches for the platform's does so for a tenant's that is the same.
        let mut texts = self.0.policies.signatures(None, &artifact.digest).await?;
        if scope.tenant().is_some() {
            texts.extend(self.0.policies.signatures(scope.tenant(), &artifact.digest).await?);
        }
        for text in texts {
            let Ok(envelope) = Envelope::parse(text.as_bytes()) else { continue };
            match signing::verify(&envelope, &trusted, &subject) {
                Ok(_) => return Ok(()),
                Err(cause) => causes.push(cause),
            }
        }
        Err(Error::Signature { scope: scope.clone(), causes })
    }

    /// Whether what was bound once is allowed still: within the ceiling, and vouched for by a key that counts.
    pub(super) async fn check_allowed(&self, scope: &PolicyScope, spec: &BindingSpec) -> Result<(), Error> {
        let unknown = || Error::NotFound(format!("policy {} that {scope} may be bound to", spec.digest));
        let artifact = self.policy_of(scope, spec).await?.ok_or_else(unknown)?;
        let ceiling = self.ceiling(scope).await?;
        within(&spec.limits, &ceiling.limits, &self.0.limits)?;
        check_grants(scope, &spec.grants, &ceiling)?;
        self.check_signatures(scope, &artifact, &ceiling).await
    }

    async fn check_mark(&self, scope: &PolicyScope, artifact: &PolicyArtifact) -> Result<(), Error> {
        let mark: Option<PolicyVersion> = self.0.generations.mark(scope, &artifact.name).await?;
        match mark.filter(|mark| *mark > artifact.version) {
            None => Ok(()),
            Some(mark) => {
                let (name, version) = (artifact.name.clone(), artifact.version.clone());
                Err(Error::Downgrade { scope: scope.clone(), name, version, mark })
            }
        }
    }
}

fn check_grants(scope: &PolicyScope, grants: &Grants, ceiling: &Ceiling) -> Result<(), Error> {
    let beyond = ceiling.grants.as_ref().map(|allowed| grants.difference(allowed)).unwrap_or_default();
    if beyond.is_empty() { Ok(()) } else { Err(Error::Grants { scope: scope.clone(), beyond }) }
}

/// For the trail: everything but the values of settings, which may be secrets.
pub(super) fn deed(action: &'static str, scope: &PolicyScope, bind: &Bind) -> Deed {
    Deed::new(action, scope)
        .with("policy", bind.policy.to_string())
        .with("settings", names(&bind.settings))
        .with("settings_count", bind.settings.len())
        .with("limits", limits_text(&bind.limits))
        .with("grants", bind.grants.as_ref().map(ToString::to_string))
        .with("accept_authority", bind.accept_authority)
        .with("reason", bind.reason.clone())
}

/// For the trail: what the order came to, once that is known, and before it serves anybody or is tried.
pub(super) fn resolved(action: &'static str, generation: &Generation) -> Deed {
    let spec = &generation.spec;
    Deed::new(action, generation.id())
        .with("number", generation.number)
        .with("policy", spec.called.as_ref().map(|(name, version)| format!("{name}@{version}")))
        .with("digest", spec.digest.as_str())
        .with("settings", names(&spec.settings))
        .with("settings_count", spec.settings.len())
        .with("limits", limits_text(&spec.limits))
        .with("grants", spec.grants.to_string())
}

/// The names of many would fill the entry, and hide the rest of it.
fn names(settings: &BTreeMap<String, String>) -> Vec<String> {
    settings.keys().take(32).map(|name| bounded_text(name, 64)).collect()
}

/// None for the host's own.
fn limits_text(limits: &LimitOverrides) -> Option<String> {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let all = [
        ("memory_bytes", limits.memory_bytes),
        ("guest_time_ms", limits.guest_time.map(millis)),
        ("run_time_ms", limits.run_time.map(millis)),
        ("calls", limits.calls.map(u64::from)),
        ("bytes_per_run", limits.bytes_per_run),
        ("log_lines", limits.log_lines.map(u64::from)),
    ];
    let set: Vec<_> = all.iter().filter_map(|(name, limit)| limit.map(|limit| format!("{name}={limit}"))).collect();
    (!set.is_empty()).then(|| set.join(" "))
}

/// A key that was added is one that could be read.
fn trusted(key: &TrustedKey, revoked: bool) -> Option<signing::TrustedKey> {
    Some(signing::TrustedKey {
        key: PublicKey::from_pem(key.public_key.as_bytes()).ok()?,
        tenants: TenantScope::Any,
        revoked,
    })
}

/// What is asked for, where it is within the ceiling and the host's limits; what is not asked for is the ceiling's.
fn within(asked: &LimitOverrides, ceiling: &LimitOverrides, host: &Limits) -> Result<LimitOverrides, Error> {
    // A ceiling above this host's limits allows what the host does.
    asked.apply(&host.narrowed(ceiling)).map_err(Error::Limits)?;
    let allowed = ceiling.at_most(host);
    Ok(LimitOverrides {
        memory_bytes: asked.memory_bytes.or(allowed.memory_bytes),
        guest_time: asked.guest_time.or(allowed.guest_time),
        run_time: asked.run_time.or(allowed.run_time),
        calls: asked.calls.or(allowed.calls),
        bytes_per_run: asked.bytes_per_run.or(allowed.bytes_per_run),
        log_lines: asked.log_lines.or(allowed.log_lines),
    })
}

impl LimitOverrides {
    fn at_most(&self, host: &Limits) -> Self {
        Self {
            memory_bytes: self.memory_bytes.map(|limit| limit.min(host.memory_bytes)),
            guest_time: self.guest_time.map(|limit| limit.min(host.guest_time)),
            run_time: self.run_time.map(|limit| limit.min(host.run_time)),
            calls: self.calls.map(|limit| limit.min(host.calls)),
            bytes_per_run: self.bytes_per_run.map(|limit| limit.min(host.bytes_per_run)),
            log_lines: self.log_lines.map(|limit| limit.min(host.log_lines)),
        }
    }
}
