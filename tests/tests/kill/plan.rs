//! The submissions, their order and their channels.

use egression_sandbox::canonical_digest;
use egression_tests::order::AcceptedOrder;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

pub const SUBSCRIPTION: &str = "acme";
/// One key per object, in batches; one key for everything, in single calls.
pub const CHANNELS: [&str; 2] = ["by-object", "by-channel"];
/// Objects in one submission. The number is small, so that kills interrupt submissions.
const PER_SUBMISSION: usize = 20;

#[derive(Clone, Debug)]
pub struct Plan {
    pub objects: usize,
    pub updates: usize,
    pub kills: usize,
    pub seed: u64,
}

impl Plan {
    /// The jobs of both channels.
    pub fn jobs(&self) -> u64 {
        (self.objects * self.updates * CHANNELS.len()) as u64
    }

    /// The submissions in order: the first update of all objects, then the second, and so on.
    pub fn submissions(&self) -> Vec<Vec<(usize, usize)>> {
        let rounds = (0..self.updates)
            .flat_map(|update| (0..self.objects).map(move |object| (object, update)));
        let all: Vec<_> = rounds.collect();
        all.chunks(PER_SUBMISSION).map(<[_]>::to_vec).collect()
    }

    /// The settled fractions at which the host is killed, in order. They are far enough from the
    /// end that jobs are still open.
    pub fn moments(&self) -> Vec<f64> {
        let mut chance = StdRng::seed_from_u64(self.seed);
        let mut moments: Vec<f64> = (0..self.kills)
            .map(|_| chance.random_range(0.02..0.9))
            .collect();
        moments.sort_by(f64::total_cmp);
        moments
    }

    /// The keys of each channel with their jobs in the order of acceptance, which is the order of
    /// the submissions.
    pub fn order(&self, channel: &str) -> AcceptedOrder {
        let mut order = AcceptedOrder::default();
        for (object, update) in self.submissions().into_iter().flatten() {
            let id = id(object);
            let key = if channel == CHANNELS[0] { &id } else { channel };
            order.push(
                key,
                "category",
                &id,
                &canonical_digest(&body(object, update)),
            );
        }
        order
    }

    /// The expected content at the end: the last update of each object.
    pub fn last_digest(&self, object: usize) -> String {
        canonical_digest(&body(object, self.updates - 1))
    }
}

pub fn id(object: usize) -> String {
    format!("c{object}")
}

/// The updates of an object all have different bytes.
pub fn body(object: usize, update: usize) -> Value {
    json!({ "name": { "en": format!("Category {object}, update {update}") }, "position": update })
}

/// The request of one submission.
pub fn request(submission: &[(usize, usize)]) -> Value {
    let job = |(object, update): &(usize, usize)| {
        let payload = body(*object, *update);
        json!({ "object_ids": [id(*object)], "payload": payload })
    };
    let defaults = json!({
        "subscription": SUBSCRIPTION, "source": "inline", "channels": CHANNELS,
        "action": "upsert", "object_type": "category", "full": true,
    });
    json!({ "defaults": defaults, "jobs": submission.iter().map(job).collect::<Vec<_>>() })
}

pub fn configuration(shop_urls: &[String; 2]) -> String {
    let mut text = format!(
        "[[subscriptions]]\nname = \"{SUBSCRIPTION}\"\n\n\
         [[sources]]\nname = \"inline\"\nsubscriptions = [\"{SUBSCRIPTION}\"]\nkind = \"inline\"\n"
    );
    let rules = [("object", "batch", 10), ("channel", "single", 10)];
    for ((channel, url), (partition, mode, max_items)) in CHANNELS.iter().zip(shop_urls).zip(rules)
    {
        text.push_str(&format!(
            r#"
[[channels]]
name = "{channel}"
connector = "sandbox"
partition = "{partition}"
merge = false
max_items = {max_items}
retry = {{ base_ms = 50, max_ms = 1000, attempts = 30 }}
limits = [{{ kind = "concurrency", max = 4 }}]

[[connections]]
subscription = "{SUBSCRIPTION}"
channel = "{channel}"
settings = {{ base_url = "{url}", mode = "{mode}", login = true }}
auth = {{ scheme = "connector", secrets = {{ api_key = {{ env = "SHOP_API_KEY" }} }} }}
allow_addresses = ["127.0.0.1/32"]
"#
        ));
    }
    text
}
