//! The secrets of a document on their way into the vault, and the state of a connection whose
//! credential belongs to other hosts.

use egression_core::domain::ids::{ConnectionId, Owner};
use secrecy::SecretString;

use super::document::{owner, secret_names};
use super::{Configuration, ConfigurationError, Document, NEEDS_REENTRY};
use crate::documents::credential::{NamedSecret, hosts_of_connection, hosts_of_source};
use crate::documents::model::{AuthDocument, ConnectionDocument};
use crate::documents::validate::Issue;
use crate::store::documents::StoredDocument;
use crate::vault::VaultError;

/// A secret that a document refers to.
pub(super) struct Entered {
    name: String,
    /// None: the stored value stays.
    value: Option<SecretString>,
}

/// Whether the stored secrets may be used for the hosts that the document now names.
pub(super) enum Credential {
    Good,
    NeedsReentry,
}

impl Configuration {
    /// One issue for each secret of the document that cannot be read.
    pub(super) fn unreadable(&self, document: &Document) -> Vec<Issue> {
        secrets(document)
            .into_iter()
            .filter_map(|secret| self.read(&secret).err())
            .collect()
    }

    /// Reads the secrets that the document refers to. A secret that cannot be read or was never
    /// entered becomes an issue.
    pub(super) async fn entered(
        &self,
        document: &Document,
        before: Option<&StoredDocument>,
        issues: &mut Vec<Issue>,
    ) -> Result<Vec<Entered>, ConfigurationError> {
        let mut entered = Vec::new();
        for secret in secrets(document) {
            match self.read(&secret) {
                Ok(value) => {
                    if value.is_none() {
                        let bound = match before.and_then(owner) {
                            Some(owner) => self.bound_hosts(owner, secret.name).await?,
                            None => None,
                        };
                        issues.extend(unusable(document, bound.as_deref(), &secret));
                    }
                    entered.push(Entered {
                        name: secret.name.to_owned(),
                        value,
                    });
                }
                Err(issue) => issues.push(issue),
            }
        }
        Ok(entered)
    }

    /// Stores the values in the vault, bound to these hosts, and drops the secrets that the
    /// document no longer refers to. A new value counts as a change of the document although its
    /// text is the same, so that `If-Match` also guards a rotation.
    pub(super) async fn move_secrets(
        &self,
        stored: &mut StoredDocument,
        before: Option<&StoredDocument>,
        entered: Vec<Entered>,
        hosts: &[String],
    ) -> Result<Credential, ConfigurationError> {
        let Some(owner) = owner(stored) else {
            return Ok(Credential::Good);
        };
        let mut credential = Credential::Good;
        let mut renewed = false;
        for old in before.map(secret_names).unwrap_or_default() {
            if !entered.iter().any(|secret| secret.name == old) {
                self.vault.drop(owner, &old, None).await?;
            }
        }
        for Entered { name, value } in entered {
            if let Some(value) = value {
                renewed |= self.vault.enter(owner, &name, value, hosts).await?;
            } else {
                // The vault decides, not the document before: two changes in a row must not launder
                // a credential.
                let bound = self.bound_hosts(owner, &name).await?.unwrap_or_default();
                if hosts.iter().any(|host| !bound.contains(host)) {
                    credential = Credential::NeedsReentry;
                }
            }
        }
        if renewed && before.is_some_and(|before| before.version == stored.version) {
            stored.version = self.store.renew_document(&stored.name).await?;
        }
        Ok(credential)
    }

    /// Parks a connection whose credential belongs to other hosts; activates a parked connection
    /// that was changed.
    pub(super) async fn settle_connection(
        &self,
        document: &ConnectionDocument,
        mut stored: StoredDocument,
        before: Option<&StoredDocument>,
        entered: Vec<Entered>,
    ) -> Result<StoredDocument, ConfigurationError> {
        let renewed = entered.iter().any(|secret| secret.value.is_some());
        let changed = before.is_none_or(|before| before.version != stored.version);
        let (state, reason) = match self
            .move_secrets(&mut stored, before, entered, &hosts_of_connection(document))
            .await?
        {
            // A person's pause stays. The vault refuses the credential for the new host anyway.
            Credential::NeedsReentry if stored.state != "paused" => ("parked", Some(NEEDS_REENTRY)),
            Credential::Good if stored.state == "parked" && (renewed || changed) => {
                ("active", None)
            }
            Credential::NeedsReentry | Credential::Good => return Ok(stored),
        };
        self.store
            .set_connection_state(ConnectionId(stored.id), state, reason)
            .await?;
        Ok(StoredDocument {
            state: state.to_owned(),
            state_reason: reason.map(ToOwned::to_owned),
            ..stored
        })
    }

    fn read(&self, secret: &NamedSecret<'_>) -> Result<Option<SecretString>, Issue> {
        secret
            .reference
            .read(self.variables.as_ref())
            .map_err(|error| {
                Issue::new(
                    secret.pointer.clone(),
                    "secret.unreadable",
                    error.to_string(),
                )
            })
    }

    /// The hosts that a stored value was entered for; none if no value is stored.
    async fn bound_hosts(
        &self,
        owner: Owner,
        name: &str,
    ) -> Result<Option<Vec<String>>, VaultError> {
        let secret = self.vault.get(owner, name).await?;
        Ok(secret.map(|secret| secret.bound_hosts))
    }
}

fn secrets(document: &Document) -> Vec<NamedSecret<'_>> {
    document
        .auth()
        .map(AuthDocument::secrets)
        .unwrap_or_default()
}

/// Why the stored value of a secret cannot stay. A connection may be parked until the value is
/// entered again; a source may not.
fn unusable(
    document: &Document,
    bound: Option<&[String]>,
    secret: &NamedSecret<'_>,
) -> Option<Issue> {
    let issue = |code, detail: String| Some(Issue::new(secret.pointer.clone(), code, detail));
    let Some(bound) = bound else {
        let detail = "no value is stored; enter one with `value`".to_owned();
        return issue("secret.not_stored", detail);
    };
    let Document::Source(source) = document else {
        return None;
    };
    let host = hosts_of_source(source)
        .into_iter()
        .find(|host| !bound.contains(host))?;
    let detail =
        format!("the stored value was not entered for {host}; enter it again with `value`");
    issue("secret.other_hosts", detail)
}
