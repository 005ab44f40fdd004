//! The progress of a watched execution on standard error: bars on a terminal, otherwise lines.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::client::ClientError;
use super::output::{print_message, printable};
use super::views::{Channel, Execution};

pub(super) enum Progress {
    /// One bar per channel and belt.
    Bars(Bars),
    /// One line per change.
    Lines(Lines),
    Silent,
}

#[derive(Default)]
pub(super) struct Bars {
    multi: MultiProgress,
    bars: BTreeMap<(String, u32), ProgressBar>,
}

#[derive(Default)]
pub(super) struct Lines {
    last: String,
}

impl Progress {
    pub(super) fn on_stderr() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Bars(Bars::default())
        } else {
            Self::Lines(Lines::default())
        }
    }

    /// The least time between two updates.
    pub(super) const fn interval(&self) -> Duration {
        match self {
            Self::Bars(_) => Duration::from_millis(200),
            Self::Lines(_) | Self::Silent => Duration::from_secs(1),
        }
    }

    pub(super) fn show(&mut self, execution: &Execution) {
        match self {
            Self::Bars(bars) => bars.show(execution),
            Self::Lines(lines) => lines.show(execution),
            Self::Silent => {}
        }
    }

    /// Reports that the host does not respond.
    pub(super) fn lost(&mut self, error: &ClientError) {
        match self {
            Self::Bars(bars) => {
                // A closed terminal is ignored.
                let _ = bars.multi.println(printable(&format!("{error}; retrying")));
            }
            Self::Lines(lines) => lines.print(format!("{error}; retrying")),
            Self::Silent => {}
        }
    }

    /// Keeps the last state on the screen.
    pub(super) fn finish(&mut self) {
        if let Self::Bars(bars) = self {
            bars.bars.values().for_each(ProgressBar::abandon);
        }
    }
}

impl Bars {
    fn show(&mut self, execution: &Execution) {
        for channel in &execution.channels {
            for belt in &channel.belts {
                let multi = &self.multi;
                let bar = self
                    .bars
                    .entry((channel.channel.clone(), belt.belt))
                    .or_insert_with(|| {
                        let bar = multi.add(ProgressBar::new(belt.total).with_style(style()));
                        let types = belt.types.join(",");
                        let prefix = format!("{} {} {types}", channel.channel, belt.belt);
                        bar.set_prefix(printable(&prefix).into_owned());
                        bar
                    });
                bar.set_length(belt.total);
                bar.set_position(belt.finished);
                bar.set_message(if channel.belt == Some(belt.belt) && !execution.done {
                    printable(&waits(channel)).into_owned()
                } else {
                    String::new()
                });
            }
        }
    }
}

impl Lines {
    fn show(&mut self, execution: &Execution) {
        self.print(line(execution));
    }

    fn print(&mut self, line: String) {
        if line != self.last {
            print_message(&line);
            self.last = line;
        }
    }
}

/// One line about an execution: `exe_… running 7975/20000: succeeded 7900, …; shop-de 2/3: limit:
/// 11800 until …`.
fn line(execution: &Execution) -> String {
    let Execution {
        id,
        status,
        counts,
        channels,
        done,
    } = execution;
    let mut line = format!(
        "{id} {status} {}/{}: {}",
        counts.finished(),
        counts.total,
        counts.shown()
    );
    for channel in channels
        .iter()
        .filter(|channel| !done && channel.belt.is_some())
    {
        line.push_str(&format!(
            "; {} belt {}/{}",
            channel.channel,
            channel.belt.unwrap_or(0),
            channel.belts.len()
        ));
        let waits = waits(channel);
        if !waits.is_empty() {
            line.push_str(&format!(" ({waits})"));
        }
    }
    line
}

/// The reason that most of a channel's jobs wait for. `turn`, `belt` and `partition` are part of
/// normal operation and are omitted.
fn waits(channel: &Channel) -> String {
    let notable = channel
        .waiting
        .iter()
        .filter(|waiting| !matches!(waiting.kind.as_str(), "turn" | "belt" | "partition"));
    notable
        .max_by_key(|waiting| waiting.jobs)
        .map(super::views::Waiting::shown)
        .unwrap_or_default()
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:32!} {bar:30} {pos:>7}/{len:<7} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn line_shows_the_counts_and_the_waiting_reason() {
        let mut body = json!({
            "id": "exe_1", "status": "running", "done": false,
            "counts": {"total": 20, "waiting": 12, "in_flight": 1, "succeeded": 6, "rejected": 1},
            "channels": [
                {"channel": "shop-de", "belt": 2, "belts": [{"belt": 1, "types": ["brand"],
                    "total": 3, "finished": 3}, {"belt": 2, "types": ["product"], "total": 17,
                    "finished": 4}],
                 "waiting": [{"kind": "turn", "jobs": 11}, {"kind": "limit", "key": "shop-de",
                     "until": "2026-11-21T12:00:03.000Z", "jobs": 1}]},
                {"channel": "shop-fr", "belt": null, "belts": []},
            ],
        });
        insta::assert_snapshot!("progress_line", line(&Execution::of(&body)));
        body["done"] = json!(true);
        body["status"] = json!("succeeded_with_errors");
        insta::assert_snapshot!("progress_line_at_the_end", line(&Execution::of(&body)));
    }
}
