//! Policies at the command line: made, signed and carried around; put into the store, bound, tried, taken back.

use clap::{Args, Subcommand};

use super::{Answer, Error};
use crate::access::Caller;
use crate::app::{self, Stores};
use crate::config::{Environment, Loaded};
use crate::policies::Policies;

mod arguments;
mod artifacts;
mod bench;
mod binding;
mod check;
mod component;
mod keys;
mod new;
mod recorded;
mod registry;
mod replay;
mod rules;
mod run;
mod scopes;
mod simulate;
mod test;
mod text;

pub use text::{
    bound_text, change_table, divergence_table, examination_text, generation_diff_text, policy_table, policy_text,
    replay_text, rules_text, status_table, status_text,
};

const AFTER_HELP: &str = "\
Exit status:
  0  done
  2  the command line is wrong, or a file that it names
  3  a store or registry that is needed does not answer; try again
  4  refused: the policy does not pass, or its state forbids it
  5  the configuration is wrong

Examples:
  rtmanager policy new keep --lang python                  a project to begin with
  rtmanager policy check keep.wasm                         would a host take it? Needs no store
  rtmanager policy test keep.wasm keep.toml                does it do what its author says?
  rtmanager policy simulate keep.wasm --histories 10000    does it keep the rules, come what may?
  rtmanager policy replay keep.wasm --from acme --since 7d  what would it have done otherwise?
  rtmanager policy key new release.pem > release.pub       a key pair
  rtmanager policy sign keep.wasm --key release.pem --name keep --version 1.4.0 --output keep.sig
  rtmanager policy push keep.wasm --name keep --version 1.4.0 --signature keep.sig
  rtmanager policy bind acme keep@1.4.0 --setting days=30 --reason 'ticket 812'
  rtmanager policy rollout acme keep@1.5.0 --canary 5% --clean-runs 200 --reason 'ticket 901'
  rtmanager policy status acme                             what serves, on which host
  rtmanager policy rollback acme --reason 'keeps too little'
  rtmanager policy pull ghcr.io/acme/keep:1.4.0 --into-store
'*' in a tenant's place stands for all tenants without a binding of their own.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    #[command(flatten)]
    Loose(Loose),
    #[command(flatten)]
    Kept(Kept),
    #[command(flatten)]
    Served(Served),
}

/// What needs no store, or does not always.
#[derive(Debug, Subcommand)]
enum Loose {
    /// Writes a new policy's project: the contract, a policy to change, scenarios, and two commands
    #[command(after_help = new::AFTER_HELP)]
    New(new::New),
    /// Makes a component of a module, for compilers that stop at modules (C and Go, among others)
    Component(component::Component),
    /// Puts a component into the store, or with --to into a registry
    Push(artifacts::Push),
    /// Gets a policy from a registry, into a file or the store
    Pull(artifacts::Pull),
    /// Signs a component as one version of a policy, for tenants or for all
    Sign(keys::Sign),
    /// Makes and shows keys
    #[command(subcommand)]
    Key(keys::KeyCommand),
    /// Examines a component in a file, or a policy in the store as if it were bound; changes nothing
    Check(check::Check),
    /// Plays a component through scenarios, and compares what it does with what is expected
    #[command(long_about = test::LONG_ABOUT)]
    Test(Box<test::Test>),
    /// Runs a component once and tells each of its calls: in a scenario, or without effect on a game as it is now
    Run(run::Run),
    /// Measures what a run of a component costs, beside the default policy
    Bench(bench::Bench),
    /// Plays a component through histories in which everything goes wrong that can, and checks every rule
    #[command(long_about = simulate::LONG_ABOUT)]
    Simulate(simulate::Simulate),
    /// Plays a policy over recorded runs, and tells what it would have done otherwise
    Replay(replay::Replay),
    /// Plays two policies over recorded runs, and tells in what they differ
    ///
    /// `diff` compares what generations of a scope consist of; this, what policies do.
    Compare(replay::Compare),
    /// Recorded runs: whose are kept says [journal] in the configuration
    #[command(subcommand)]
    Record(recorded::RecordCommand),
}

/// What there is, and what is allowed.
#[derive(Debug, Subcommand)]
enum Kept {
    /// Lists the policies in the store
    List(artifacts::List),
    /// Shows one policy, with what it asks for
    Show(artifacts::Show),
    /// Shows and sets what is allowed in a scope
    #[command(subcommand)]
    Ceiling(rules::CeilingCommand),
    /// Lists the keys that a scope trusts, or has trusted
    Keys(rules::Keys),
    /// Trusts a key in a scope
    Trust(rules::Trust),
    /// Trusts a key in a scope no more, for good
    Distrust(rules::Distrust),
}

/// What serves whom.
#[derive(Debug, Subcommand)]
enum Served {
    /// Binds a scope to a policy: examines it, has the hosts load it, and swaps it in
    Bind(binding::Bind),
    /// Tries a policy beside the one that serves: as a shadow, or on some of the games
    Rollout(binding::Rollout),
    /// Makes the generation that is tried current now
    RolloutPromote(binding::OfScope),
    /// Gives up the generation that is tried
    RolloutEnd(binding::OfScope),
    /// Makes an earlier generation current again, at once
    Rollback(binding::Rollback),
    /// Revokes a generation, or a component wherever it is bound
    Revoke(binding::Revoke),
    /// Takes a scope's own binding away
    Unbind(binding::OfScope),
    /// Shows what serves a scope, or all of them
    Status(scopes::Status),
    /// Lists what happened to a scope, newest first
    History(scopes::History),
    /// Compares two generations of a scope, or one with the current one
    Diff(scopes::Diff),
    /// Lists how runs of a generation that is tried differ from those that it stands beside
    Divergences(scopes::Divergences),
}

/// What the commands work with.
struct Desk {
    policies: Policies,
    caller: Caller,
    json: bool,
}

impl Desk {
    async fn open(loaded: Loaded, operator: String, json: bool) -> Result<Self, Error> {
        let stores = Stores::open(loaded.config).await.map_err(app::Error::from)?;
        let policies = app::policies(&stores)?;
        Ok(Self { policies, caller: Caller::admin(operator), json })
    }
}

pub(super) async fn run(
    PolicyArgs { command }: PolicyArgs,
    loaded: Loaded,
    environment: &Environment,
    json: bool,
) -> Result<Answer, Error> {
    let operator = environment.operator();
    match command {
        PolicyCommand::Loose(Loose::New(new)) => new.run(json),
        PolicyCommand::Loose(Loose::Component(component)) => component.run(json),
        PolicyCommand::Loose(Loose::Push(push)) => push.run(loaded, environment, json).await,
        PolicyCommand::Loose(Loose::Pull(pull)) => pull.run(loaded, environment, json).await,
        PolicyCommand::Loose(Loose::Sign(sign)) => sign.run(json),
        PolicyCommand::Loose(Loose::Key(key)) => key.run(json),
        PolicyCommand::Loose(Loose::Check(check)) => check.run(loaded, operator, json).await,
        PolicyCommand::Loose(Loose::Test(test)) => test.run(loaded, json).await,
        PolicyCommand::Loose(Loose::Run(run)) => run.run(loaded, json).await,
        PolicyCommand::Loose(Loose::Bench(bench)) => bench.run(loaded, json).await,
        PolicyCommand::Loose(Loose::Simulate(simulate)) => simulate.run(loaded, json).await,
        PolicyCommand::Loose(Loose::Replay(replay)) => replay.run(loaded, operator, json).await,
        PolicyCommand::Loose(Loose::Compare(compare)) => compare.run(loaded, operator, json).await,
        PolicyCommand::Loose(Loose::Record(command)) => command.run(loaded).await,
        PolicyCommand::Kept(kept) => kept.run(&Desk::open(loaded, operator, json).await?).await,
        PolicyCommand::Served(served) => served.run(&Desk::open(loaded, operator, json).await?).await,
    }
}

impl Kept {
    async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        match self {
            Self::List(list) => list.run(desk).await,
            Self::Show(show) => show.run(desk).await,
            Self::Ceiling(ceiling) => ceiling.run(desk).await,
            Self::Keys(keys) => keys.run(desk).await,
            Self::Trust(trust) => trust.run(desk).await,
            Self::Distrust(distrust) => distrust.run(desk).await,
        }
    }
}

impl Served {
    async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        match self {
            Self::Bind(bind) => bind.run(desk).await,
            Self::Rollout(rollout) => rollout.run(desk).await,
            Self::RolloutPromote(scope) => scope.promote(desk).await,
            Self::RolloutEnd(scope) => scope.end_rollout(desk).await,
            Self::Rollback(rollback) => rollback.run(desk).await,
            Self::Revoke(revoke) => revoke.run(desk).await,
            Self::Unbind(scope) => scope.unbind(desk).await,
            Self::Status(status) => status.run(desk).await,
            Self::History(history) => history.run(desk).await,
            Self::Diff(diff) => diff.run(desk).await,
            Self::Divergences(divergences) => divergences.run(desk).await,
        }
    }
}
