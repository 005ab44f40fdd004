//! The settings: what to do, and where to.

use serde::Deserialize;
use serde_json::{Value, json};

/// The settings of one connection.
#[derive(Debug, Deserialize)]
pub(crate) struct Settings {
    pub(crate) behave: Behaviour,
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

/// What `authenticate` does.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Login {
    /// Makes an empty session.
    #[default]
    Works,
    /// Keeps a secret, and tells it as the reason why it is refused.
    Tell,
}

/// What `check` does.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
    /// Says that the connection works.
    #[default]
    Works,
    /// Keeps a secret, and tells it as the account's name.
    Tell,
}

/// What `reconcile` does.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Recall {
    /// Says that it cannot.
    #[default]
    Unsupported,
    /// Reads `target_url/ID`: 200 arrived, 404 did not, anything else cannot tell.
    Look,
    /// Says that nothing arrived, without asking anybody.
    Guess,
    /// Traps at once.
    Trap,
}

/// What `deliver` does.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Behaviour {
    /// Delivers without network.
    Ok,
    /// Loops for ever on the CPU.
    Loop,
    /// Traps at once.
    Trap,
    /// Takes memory until there is none.
    EatMemory,
    /// Logs 100,000 lines of 10 KB, then delivers.
    FloodLog,
    /// Traps if one of the items has the id `poison`, else delivers them.
    Poison,
    /// Answers for an index that was not asked, and for no other.
    WrongIndex,
    /// Answers twice for each index: delivered, then rejected.
    Twice,
    /// Delivers all items but the first, of which it says nothing.
    MissingIndex,
    /// Sleeps for an hour on the clock of WASI.
    Sleep,
    /// Sends one `PUT` to `target_url`, then traps.
    TrapAfterWrite,
    /// Settles the first item through `settle.report`, then traps.
    ReportThenTrap,
    /// Reads `target_url`, which echoes the credential, and says what it saw: in the log and in a
    /// problem.
    EchoSecret,
    /// Writes `PUT target_url/ID` for each item, and says what came of it.
    Write,
    /// The same, with each item's id, a number, as the cost `weight` of its request.
    Weigh,
    /// Reads `elsewhere_url`, or `target_url` without it, and says what came of it in a problem.
    Reach,
    /// Keeps a secret of a megabyte, and a thousand short ones.
    HugeDeposit,
    /// Digests twelve megabytes.
    HugeSign,
    /// Digests a megabyte again and again, for ever.
    SignForever,
    /// Reads `target_url` 3,000 times in one `send-all`.
    SendThousands,
    /// Sends `PUT target_url` with 30,000 headers.
    ManyHeaders,
    /// Sends `PUT target_url` with 1,000 costs.
    ManyCosts,
    /// Keeps a secret of 60 KB and sends `PUT target_url` with 100,000 placeholders of it.
    PlaceholderBody,
    /// Says of each item that the destination took it and decides later.
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
                    "ok", "loop", "trap", "poison", "eat_memory", "flood_log", "wrong_index", "twice", "missing_index",
                    "sleep", "trap_after_write", "report_then_trap", "accept", "echo_secret", "write", "weigh", "reach",
                    "huge_deposit", "huge_sign", "sign_forever", "send_thousands", "many_headers", "many_costs", "placeholder_body", "many_remotes"
                ]
            },
            "recall": { "enum": ["unsupported", "look", "guess", "trap"], "description": "What `reconcile` does." },
            "check": { "enum": ["works", "tell"], "description": "What `check` does." },
            "login": { "enum": ["works", "tell"], "description": "What `authenticate` does." },
            "target_url": { "type": "string", "description": "Where the behaviours that send go to." },
            "elsewhere_url": { "type": "string", "description": "Where `reach` goes instead. Its host is not asked for." }
        }
    })
}
