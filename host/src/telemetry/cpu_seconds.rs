//! The counter of CPU seconds by layer on the page `/metrics`.
//!
//! It is written here, because the recorder's counters are whole numbers.

use std::fmt::Write as _;

use strum::{EnumCount as _, VariantArray as _};

use super::layer_cpu::{self, Layer};
use super::metrics_reference::{self, name};
use super::thread_cpu::ThreadCpu;

/// The values of the last page. A counter never falls, even if an estimate does.
#[derive(Debug, Default)]
pub struct CpuSeconds {
    threads: ThreadCpu,
    layers_ns: [u64; Layer::COUNT],
    other_ns: u64,
}

impl CpuSeconds {
    /// The lines of the page, with the values of this moment.
    pub fn text(&mut self) -> String {
        self.read();
        let mut text = format!(
            "# HELP {} {}\n",
            name::CPU_SECONDS,
            metrics_reference::cpu_help()
        );
        let _ = writeln!(text, "# TYPE {} counter", name::CPU_SECONDS);
        for layer in Layer::VARIANTS {
            push(&mut text, (*layer).into(), self.layers_ns[*layer as usize]);
        }
        push(&mut text, "other", self.other_ns);
        text.push('\n');
        text
    }

    fn read(&mut self) {
        self.threads.read();
        for layer in Layer::VARIANTS {
            let used = layer.used_ns() + self.threads.used_ns(*layer);
            let shown = &mut self.layers_ns[*layer as usize];
            *shown = used.max(*shown);
        }
        let known = self.layers_ns.iter().sum();
        let rest = layer_cpu::process_ns().saturating_sub(known);
        self.other_ns = rest.max(self.other_ns);
    }
}

fn push(text: &mut String, layer: &str, ns: u64) {
    let (seconds, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
    let _ = writeln!(
        text,
        "{}{{layer=\"{layer}\"}} {seconds}.{rest:09}",
        name::CPU_SECONDS
    );
}
