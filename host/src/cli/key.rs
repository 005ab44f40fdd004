//! `egression key …`: makes and revokes API keys.

use clap::{Subcommand, ValueEnum};
use http::Method;
use serde_json::json;

use super::client::Client;
use super::exit::{CommandError, Exit};
use super::output::{Column, Output, talk};

/// The most keys that are listed.
const MAX_LISTED: usize = 10_000;

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("ROLE", "/role"),
    ("SUBSCRIPTION", "/subscription"),
    ("LABEL", "/label"),
    ("CREATED", "/created_at"),
];
const MADE_COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("ROLE", "/role"),
    ("SUBSCRIPTION", "/subscription"),
    ("KEY", "/key"),
];

/// What a key may do.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Role {
    /// Everything.
    Admin,
    /// Submitting, following and steering.
    Submit,
    /// Following.
    Read,
}

/// The commands on keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Makes a key and shows it, this once.
    Create {
        /// What it may do.
        #[arg(long, value_enum)]
        role: Role,
        /// Binds it to one subscription.
        #[arg(long)]
        subscription: Option<String>,
        /// Says what it is for.
        #[arg(long)]
        label: Option<String>,
    },
    /// Lists the keys that are good, without the keys themselves.
    List,
    /// Makes a key useless.
    Revoke {
        /// The key's id, as listed.
        id: String,
    },
}

pub(super) async fn run(
    command: KeyCommand,
    client: &Client,
    output: &Output,
) -> Result<Exit, CommandError> {
    match command {
        KeyCommand::Create {
            role,
            subscription,
            label,
        } => {
            let role = role
                .to_possible_value()
                .map(|value| value.get_name().to_owned());
            let body = json!({"role": role, "subscription": subscription, "label": label});
            let made = client
                .request(Method::POST, &["v1", "keys"], &[])
                .json(&body)
                .send()
                .await?
                .body;
            if output.is_json() {
                output.document(&made)?;
            } else {
                output.table(MADE_COLUMNS, &[made])?;
            }
            talk("keep it: it is not shown again");
        }
        KeyCommand::List => output.items(
            COLUMNS,
            &client.list(&["v1", "keys"], &[], MAX_LISTED).await?,
        )?,
        KeyCommand::Revoke { id } => {
            client
                .request(Method::DELETE, &["v1", "keys", &id], &[])
                .send()
                .await?;
            talk(&format!("{id} is revoked"));
        }
    }
    Ok(Exit::Done)
}
