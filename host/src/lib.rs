//! rtmanager: removes the stopped containers of a platform's runtimes, by the word of a sandboxed policy.
//!
//! The modules in reading order: what it talks about ([`model`], [`ownership`]), what it needs ([`ports`]),
//! who supplies it ([`adapters`], engines under guard: [`guarded`]), the rules of one run ([`session`]), the sandbox ([`runtime`]), which policy
//! serves whom ([`registry`]), one run from request to result ([`lifecycle`]), and who calls it ([`sweeper`],
//! [`reconciler`], [`api`], [`cli`]). [`app`] puts it all together.

pub mod model;
pub mod ownership;
pub mod ports;

pub mod adapters;

pub mod guarded;

pub mod session;

pub mod runtime;

pub mod registry;

pub mod lifecycle;

pub mod explain;
pub mod reconciler;
pub mod recovery;
pub mod sweeper;

pub mod api;
pub mod views;

pub mod config;
pub mod metrics;
pub mod telemetry;

pub mod app;
pub mod cli;
