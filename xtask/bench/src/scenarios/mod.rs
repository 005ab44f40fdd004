//! The scenarios, one file each.

mod accept;
mod backlog;
mod connections;
mod executions;
mod hot;
mod http;
mod http_batch;
mod latency;
mod limits;
mod neighbors;
mod ordered;
mod parallel;
mod parallel_batch;
mod waiters;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::figure::Figure;

/// How long a host may take to stop.
pub(crate) const STOPS_WITHIN: Duration = Duration::from_secs(60);

/// Each runs in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Scenario {
    /// Bulk requests, of several sizes.
    Accept,
    /// Delivery, one object a call.
    Parallel,
    /// Delivery, 100 objects a call.
    ParallelBatch,
    /// Delivery in the order of 200 partition keys.
    Ordered,
    /// Delivery in the order of one partition key.
    Hot,
    /// Delivery with one POST per job.
    Http,
    /// Delivery with one POST per 100 jobs.
    HttpBatch,
    /// One job on an idle host.
    Latency,
    /// A million waiting jobs.
    Backlog,
    /// 1,000 and 100,000 executions on one connection.
    Executions,
    /// 10,000 connections with limits.
    Connections,
    /// 500 long polls.
    Waiters,
    /// How much of its limits a channel uses.
    Limits,
    /// The pace of a channel next to channels in trouble.
    Neighbors,
}

/// Where and how large a scenario runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    /// The hosts keep their files here.
    pub(crate) directory: &'a Path,
    pub(crate) scale: Scale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Full,
    /// A tenth of the sizes, to try a scenario. Its figures are not comparable.
    Quick,
}

impl Scale {
    pub(crate) fn of(self, size: usize) -> usize {
        match self {
            Self::Full => size,
            Self::Quick => size.div_ceil(10),
        }
    }

    pub(crate) fn is_quick(self) -> bool {
        self == Self::Quick
    }
}

impl Scenario {
    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    pub(crate) async fn run(self, setting: &Setting<'_>) -> Result<Vec<Figure>> {
        match self {
            Self::Accept => accept::run(setting).await,
            Self::Parallel => parallel::run(setting).await,
            Self::ParallelBatch => parallel_batch::run(setting).await,
            Self::Ordered => ordered::run(setting).await,
            Self::Hot => hot::run(setting).await,
            Self::Http => http::run(setting).await,
            Self::HttpBatch => http_batch::run(setting).await,
            Self::Latency => latency::run(setting).await,
            Self::Backlog => backlog::run(setting).await,
            Self::Executions => executions::run(setting).await,
            Self::Connections => connections::run(setting).await,
            Self::Waiters => waiters::run(setting).await,
            Self::Limits => limits::run(setting.directory).await,
            Self::Neighbors => neighbors::run(setting.directory).await,
        }
    }
}
