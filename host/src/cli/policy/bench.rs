//! What a policy's runs cost, beside the default policy's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::super::render::{finish, table};
use super::super::{Answer, Error, render};
use super::arguments::{pair, read};
use super::run::chosen;
use crate::admission::ShapeLimits;
use crate::app::{Measurable, Rejection};
use crate::config::Loaded;
use crate::runtime::DEFAULT_POLICY;
use crate::scenario::{self, Cost, Scenario};
use crate::simulation;

/// A plain cleanup of what is due.
const USUAL: &str = r#"
[[scenario]]
name = "a stopped container is cleaned up"

[[scenario.runtime]]
game = "game-1"

[[scenario.step]]
sweep = "game-1"
"#;

/// Rounds that are not counted: caches and branch predictors warm up in them.
const WARM_UP: u32 = 20;

const AFTER_HELP: &str = "\
The two policies take turns, so that what else the machine does meets both: read the ratios rather than the times. They \
are measured as hosts run them, from the request to the result: a fresh instance, its calls, and what the host does to \
keep the rules, on backends in memory. What a host has before a run begins is not counted. Instructions and memory are \
counted in a run of their own.

Exit status:
  0  measured
  1  a run could not be played
  2  the command line is wrong, or a file that it names
  3  this machine cannot compile the policy
  4  the file holds no policy
  5  the configuration is wrong

Example:
  rtmanager policy bench keep.wasm --setting days=30 --scenario 'keep.toml#a failed container is kept for a week'";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Bench {
    /// The component
    file: PathBuf,
    /// In this scenario: a file, and the scenario's name unless there is only one [default: a sweep of a stopped container]
    #[arg(long, value_name = "FILE[#NAME]")]
    scenario: Option<String>,
    /// So many rounds
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    rounds: u32,
    /// A setting of the policy; may be repeated
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct BenchView {
    scenario: String,
    rounds: u32,
    policy: Figures,
    default: Figures,
}

/// Of one policy. Times in microseconds, for the whole scenario's runs.
#[derive(Debug, Clone, Serialize)]
struct Figures {
    /// The component's file, or `default`.
    name: String,
    wall_p50_us: f64,
    wall_p99_us: f64,
    cpu_p50_us: f64,
    cpu_p99_us: f64,
    /// Units of fuel, about an instruction each.
    fuel: u64,
    /// Linear memory at its largest.
    memory_bytes: u64,
    instantiation_p50_us: f64,
    component_bytes: usize,
    code_bytes: usize,
    compiling_ms: f64,
}

impl Bench {
    pub(super) async fn run(self, loaded: Loaded, json: bool) -> Result<Answer, Error> {
        let scenario = match &self.scenario {
            Some(named) => chosen(named)?.1,
            None => usual()?,
        };
        if scenario.is_plan() {
            return Err(Error::Usage("a history of the simulation has many runs; bench takes a story".to_owned()));
        }
        let component = read(&self.file, ShapeLimits::default().component_bytes)?;
        let settings = self.settings.iter().cloned().collect();
        let refused = |refusal| Error::Rejected(Rejection::Refused(refusal));
        let policy = Measurable::prepare(&loaded.config, component, settings).await.map_err(refused)?;
        let usual = Measurable::prepare(&loaded.config, DEFAULT_POLICY.to_vec(), Default::default());
        let usual = usual.await.map_err(refused)?;
        let name = self.file.display().to_string();
        let instantiations = instantiations([&policy, &usual], self.rounds).await;
        let (rounds, title) = (self.rounds, scenario.name.clone());
        let measuring = tokio::task::spawn_blocking(move || measured([&policy, &usual], &scenario, rounds, name));
        let figures = measuring.await.map_err(|error| simulation::Error::Panicked(error.to_string()))??;
        let [mut policy, mut default] = figures;
        [policy.instantiation_p50_us, default.instantiation_p50_us] = instantiations;
        let view = BenchView { scenario: title, rounds, policy, default };
        Ok(Answer::ok(if json { render::json(&view)? } else { text(&view) }))
    }
}

fn usual() -> Result<Scenario, Error> {
    let mut all = scenario::read(USUAL).map_err(Error::Scenario)?;
    all.pop().ok_or_else(|| Error::Usage("there is no scenario".to_owned()))
}

async fn instantiations(policies: [&Measurable; 2], rounds: u32) -> [f64; 2] {
    let mut costs: [Vec<Cost>; 2] = Default::default();
    for round in 0..rounds.saturating_add(WARM_UP) {
        for (policy, costs) in policies.iter().zip(&mut costs) {
            let cost = policy.instantiate().await;
            costs.extend(cost.filter(|_| round >= WARM_UP));
        }
    }
    costs.map(|costs| percentile(&costs, |cost| cost.wall, 50))
}

fn measured(
    policies: [&Measurable; 2],
    scenario: &Scenario,
    rounds: u32,
    name: String,
) -> Result<[Figures; 2], scenario::Error> {
    let testers = policies.map(|policy| &policy.as_served);
    let costs = scenario::measure(testers, scenario, rounds.saturating_add(WARM_UP))?;
    let [mine, usual] = costs.map(|costs| costs.into_iter().skip(WARM_UP as usize).collect::<Vec<_>>());
    let [policy, default] = policies;
    Ok([figures(name, policy, scenario, &mine)?, figures("default".to_owned(), default, scenario, &usual)?])
}

fn figures(name: String, policy: &Measurable, scenario: &Scenario, costs: &[Cost]) -> Result<Figures, scenario::Error> {
    let counted = policy.metered.test("", scenario)?;
    let (wall, cpu) = (|cost: &Cost| cost.wall, |cost: &Cost| cost.cpu);
    Ok(Figures {
        name,
        wall_p50_us: percentile(costs, wall, 50),
        wall_p99_us: percentile(costs, wall, 99),
        cpu_p50_us: percentile(costs, cpu, 50),
        cpu_p99_us: percentile(costs, cpu, 99),
        fuel: counted.steps.iter().filter_map(|step| step.fuel).sum(),
        memory_bytes: counted.steps.iter().map(|step| step.memory_bytes).max().unwrap_or_default(),
        instantiation_p50_us: 0.0,
        component_bytes: policy.component_bytes,
        code_bytes: policy.code_bytes,
        compiling_ms: micros(policy.compiling.wall) / 1_000.0,
    })
}

fn percentile(costs: &[Cost], of: impl Fn(&Cost) -> Duration, percent: usize) -> f64 {
    let mut spans: Vec<Duration> = costs.iter().map(of).collect();
    spans.sort();
    let place = spans.len().saturating_sub(1).saturating_mul(percent) / 100;
    spans.get(place).copied().map(micros).unwrap_or_default()
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

fn text(view: &BenchView) -> String {
    let BenchView { scenario, rounds, policy, default } = view;
    let name =
        Path::new(&policy.name).file_name().map_or_else(|| policy.name.clone(), |name| name.to_string_lossy().into());
    let mut table = table(&["", &render::cell(&name), "DEFAULT", "RATIO"]);
    let kib = |bytes: f64| format!("{:.0} KiB", bytes / 1_024.0);
    let time = |micros: f64| format!("{micros:.1} µs");
    type Show<'s> = &'s dyn Fn(f64) -> String;
    let rows: [(&str, f64, f64, Show<'_>); 10] = [
        ("wall, p50", policy.wall_p50_us, default.wall_p50_us, &time),
        ("wall, p99", policy.wall_p99_us, default.wall_p99_us, &time),
        ("CPU, p50", policy.cpu_p50_us, default.cpu_p50_us, &time),
        ("CPU, p99", policy.cpu_p99_us, default.cpu_p99_us, &time),
        ("fuel (about instructions)", policy.fuel as f64, default.fuel as f64, &|fuel| format!("{fuel:.0}")),
        ("memory, peak", policy.memory_bytes as f64, default.memory_bytes as f64, &kib),
        ("an instance, p50", policy.instantiation_p50_us, default.instantiation_p50_us, &time),
        ("component", policy.component_bytes as f64, default.component_bytes as f64, &kib),
        ("machine code", policy.code_bytes as f64, default.code_bytes as f64, &kib),
        ("compiling", policy.compiling_ms, default.compiling_ms, &|millis| format!("{millis:.0} ms")),
    ];
    for (what, mine, usual, show) in rows {
        let ratio = if usual > 0.0 { format!("{:.2}", mine / usual) } else { "-".to_owned() };
        table.add_row([what.to_owned(), show(mine), show(usual), ratio]);
    }
    format!("{}, {rounds} rounds, the two taking turns\n\n{}", render::cell(scenario), finish(&table))
}
