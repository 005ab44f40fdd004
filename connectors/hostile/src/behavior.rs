//! The settings: the behavior of each function, and its target.

use serde::Deserialize;
use serde_json::{Value, json};

/// The settings of one connection.
#[derive(Debug, Deserialize)]
pub(crate) struct Settings {
    pub(crate) behave: Behavior,
    #[serde(default)]
    pub(crate) target_url: String,
    #[serde(default)]
    pub(crate) elsewhere_url: Option<String>,
    #[serde(default)]
    pub(crate) recall: Recall,
    #[serde(default)]
    pub(crate) check: Check,
    #[serde(default)]
    pub(crate) login: Login,
}

/// The behavior of `authenticate`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Login {
    /// Returns an empty session.
    #[default]
    Works,
    /// Deposits a secret, and tells it as the reason of a refusal.
    Tell,
}

/// The behavior of `check`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
    /// Reports that the connection works.
    #[default]
    Works,
    /// Deposits a secret, and tells it as the name of the account.
    Tell,
}

/// The behavior of `reconcile`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Recall {
    /// Returns `unsupported`.
    #[default]
    Unsupported,
    /// Reads `target_url/ID`: the item arrived if the status is 200, and did not if it is 404.
    Look,
    /// Claims that nothing arrived, without a request.
    Guess,
    /// Traps at once.
    Trap,
}

/// The behavior of `deliver`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Behavior {
    /// Delivers without network.
    Ok,
    /// Computes forever.
    Loop,
    /// Polls a pollable that is always ready, forever.
    PollForever,
    /// Traps at once.
    Trap,
    /// Allocates memory until there is none.
    EatMemory,
    /// Logs 100,000 lines of 10 KB, then delivers.
    FloodLog,
    /// Traps if an item has the id `poison`; otherwise delivers the items.
    Poison,
    /// Returns an outcome for an unknown index only.
    WrongIndex,
    /// Returns two outcomes per index: `delivered`, then `rejected`.
    Twice,
    /// Delivers all items except the first, which gets no outcome.
    MissingIndex,
    /// Sleeps for an hour.
    Sleep,
    /// Sends one `PUT` to `target_url`, then traps.
    TrapAfterWrite,
    /// Settles the first item through `settle.report`, then traps.
    ReportThenTrap,
    /// Reads `target_url`, which echoes the credential, and reports the answer in the log and in a
    /// problem.
    EchoSecret,
    /// Sends `PUT target_url/ID` for each item, and returns its outcome.
    Write,
    /// The same, with the item's id, a number, as the cost `weight` of its request.
    Weigh,
    /// Reads `elsewhere_url`, or `target_url` without it, and reports the result in a problem.
    Reach,
    /// Deposits a secret of 1 MiB, and a thousand short secrets.
    HugeDeposit,
    /// Digests 12 MiB.
    HugeSign,
    /// Digests 1 MiB again and again.
    SignForever,
    /// Reads `target_url` 3,000 times in one `send-all`.
    SendThousands,
    /// Sends `PUT target_url` with 30,000 headers.
    ManyHeaders,
    /// Sends `PUT target_url` with 1,000 costs.
    ManyCosts,
    /// Deposits a secret of 60 KB, and sends `PUT target_url` with 100,000 placeholders of it.
    PlaceholderBody,
    /// Returns `accepted` for each item.
    Accept,
    /// Delivers each item with 200,000 remote ids.
    ManyRemotes,
}

/// The JSON Schema of the settings.
pub(crate) fn settings_schema() -> Value {
    json!({
        "type": "object",
        "required": ["behave"],
        "properties": {
            "behave": {
                "enum": [
                    "ok", "loop", "poll_forever", "trap", "poison", "eat_memory", "flood_log",
                    "wrong_index", "twice", "missing_index", "sleep", "trap_after_write",
                    "report_then_trap", "accept", "echo_secret", "write", "weigh", "reach",
                    "huge_deposit", "huge_sign", "sign_forever", "send_thousands", "many_headers",
                    "many_costs", "placeholder_body", "many_remotes"
                ]
            },
            "recall": {
                "enum": ["unsupported", "look", "guess", "trap"],
                "description": "The behavior of `reconcile`."
            },
            "check": { "enum": ["works", "tell"], "description": "The behavior of `check`." },
            "login": { "enum": ["works", "tell"],
                "description": "The behavior of `authenticate`." },
            "target_url": { "type": "string", "description": "The URL of all requests." },
            "elsewhere_url": {
                "type": "string",
                "description": "The URL of `reach`. The description does not list its host."
            }
        }
    })
}
