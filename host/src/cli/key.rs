//! `egression key …`: creates, lists and revokes API keys.

use clap::{Subcommand, ValueEnum};
use http::Method;
use serde_json::json;

use super::Global;
use super::exit::{CommandError, Exit};
use super::output::{Column, Output, print_message};
use crate::app;

const MAX_LISTED: usize = 10_000;

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("ROLE", "/role"),
    ("SUBSCRIPTION", "/subscription"),
    ("LABEL", "/label"),
    ("CREATED", "/created_at"),
];
const CREATED_COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("ROLE", "/role"),
    ("SUBSCRIPTION", "/subscription"),
    ("KEY", "/key"),
];

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Role {
    /// Full access.
    Admin,
    /// Submit, read, pause, resume and cancel.
    Submit,
    /// Read only.
    Read,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Create a key. It is shown only once.
    ///
    /// If no admin key is left, stop the host and use `--offline`.
    Create {
        /// Permissions of the key.
        #[arg(long, value_enum)]
        role: Role,
        /// Restrict the key to one subscription.
        #[arg(long)]
        subscription: Option<String>,
        /// Description of the key's purpose.
        #[arg(long)]
        label: Option<String>,
        /// Create the key in the data directory of a stopped host, without another key.
        #[arg(long)]
        offline: bool,
    },
    /// List the valid keys (ids, not secrets).
    List,
    /// Revoke a key.
    Revoke {
        /// Id of the key, as listed.
        id: String,
    },
}

pub(super) async fn run(
    command: KeyCommand,
    global: &Global,
    output: &Output,
) -> Result<Exit, CommandError> {
    match command {
        KeyCommand::Create {
            role,
            subscription,
            label,
            offline,
        } => {
            let role = role
                .to_possible_value()
                .map(|value| value.get_name().to_owned());
            let body = json!({"role": role, "subscription": subscription, "label": label});
            let created = if offline {
                app::create_key_offline(&global.data_dir(), body).await?
            } else {
                let request = global.client()?.request(Method::POST, &["v1", "keys"], &[]);
                request.json(&body).send().await?.body
            };
            output.item(CREATED_COLUMNS, &created)?;
            print_message("store the key now: it is not shown again");
        }
        KeyCommand::List => output.items(
            COLUMNS,
            &global
                .client()?
                .list(&["v1", "keys"], &[], MAX_LISTED)
                .await?,
        )?,
        KeyCommand::Revoke { id } => {
            let client = global.client()?;
            let request = client.request(Method::DELETE, &["v1", "keys", &id], &[]);
            request.send().await?;
            print_message(&format!("revoked {id}"));
        }
    }
    Ok(Exit::Done)
}
