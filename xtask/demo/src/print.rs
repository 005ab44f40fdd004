//! Prints the verdict for people: a table with a column for each channel, on standard output.

use crate::configuration::CHANNELS;
use crate::verdict::{ShopVerdict, Verdict};

pub(crate) fn text(verdict: &Verdict) {
    println!();
    println!(
        "{:<44}{:>14}{:>14}",
        "from the logs of the shops", CHANNELS[0], CHANNELS[1]
    );
    let row = |name: &str, of: &dyn Fn(&ShopVerdict) -> String| {
        println!(
            "{name:<44}{:>14}{:>14}",
            of(&verdict.shops[0]),
            of(&verdict.shops[1])
        );
    };
    row("expected", &|shop| shop.expected.to_string());
    row("present", &|shop| shop.present.to_string());
    row("lost", &|shop| shop.lost().to_string());
    row("wrong", &|shop| shop.wrong.to_string());
    row("inversions", &|shop| shop.delivered.inversions.to_string());
    row("limit exceeded", &|shop| {
        shop.report.limit_exceeded.to_string()
    });
    row("missing reference", &|shop| {
        shop.report.missing_reference.to_string()
    });
    row("repeated, other key", &|shop| {
        shop.delivered.repeated_other_key.to_string()
    });
    row("repeated, same key / explained by faults", &|shop| {
        format!(
            "{} / {}",
            shop.delivered.repeated_same_key,
            shop.repeats_explained()
        )
    });
    row("limit used, by the host's figures", &|shop| {
        share(shop.usage.used)
    });
    row("  requests / of a greedy limiter", &|shop| {
        format!("{} / {:.0}", shop.usage.requests, shop.usage.possible)
    });
    row("limit used, by the shop's figures", &|shop| {
        share(shop.shop_used())
    });
    row("calls", &|shop| shop.report.calls.to_string());
    row("items per call on objects", &|shop| per(shop.carried));
    row("calls answered 5xx", &|shop| {
        shop.report.error_5xx_calls.to_string()
    });
    row("answers dropped after the write", &|shop| {
        shop.report.dropped_calls.to_string()
    });
    row("batches refused (413)", &|shop| status(shop, 413));
    row("calls answered 401 / 429", &|shop| {
        format!("{} / {}", status(shop, 401), status(shop, 429))
    });
    row("token revocations", &|shop| {
        shop.report.token_revocations.to_string()
    });
    row("closed, s", &|shop| {
        format!("{:.1}", milliseconds(shop.report.closures_ms))
    });
    row("span, s", &|shop| {
        format!("{:.1}", milliseconds(shop.report.span_ms))
    });
    println!();
    let (requests, objects) = verdict.source;
    println!(
        "the execution {} ended as {} after {:.1} s",
        verdict.execution["id"], verdict.execution["status"], verdict.seconds
    );
    println!("counts {}", verdict.execution["counts"]);
    println!("the source served {objects} objects in {requests} requests");
    let objections = verdict.objections();
    if objections.is_empty() {
        println!("clean");
    } else {
        objections
            .iter()
            .for_each(|objection| println!("NOT CLEAN: {objection}"));
    }
}

fn share(used: Option<f64>) -> String {
    used.map_or_else(|| "–".to_owned(), |used| format!("{used:.3}"))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a mean does not need to be exact"
)]
fn per((items, calls): (u64, u64)) -> String {
    if calls == 0 {
        "–".to_owned()
    } else {
        format!("{:.1}", items as f64 / calls as f64)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "only tenths of a second are printed"
)]
fn milliseconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

fn status(shop: &ShopVerdict, status: u16) -> String {
    shop.report
        .by_status
        .get(&status)
        .copied()
        .unwrap_or_default()
        .to_string()
}
