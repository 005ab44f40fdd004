//! One change of one document: checked, written, its secrets moved, its connection parked or freed.

use egression_core::domain::ids::ConnectionId;
use secrecy::SecretString;

use super::{Configuration, ConfigurationError, Document, NEEDS_REENTRY, Put};
use crate::documents::credential::{NamedSecret, hosts_of_connection, hosts_of_source};
use crate::documents::model::{AuthDocument, ChannelDocument, ConnectionDocument, SourceDocument};
use crate::documents::validate::Issue;
use crate::store::documents::{DocumentName, ManagedBy, StoredDocument};
use crate::store::{StoreError, documents::DocumentError};

/// A secret on its way to the vault.
struct Entered {
    name: String,
    /// None: the value that is stored stays.
    value: Option<SecretString>,
}

/// Whether what is stored may be used for what the document says now.
enum Credential {
    Good,
    NeedsReentry,
}

impl Configuration {
    /// Writes a document without publishing.
    pub(super) async fn write(
        &self,
        document: Document,
        managed_by: ManagedBy,
        if_match: Option<i64>,
    ) -> Result<Put, ConfigurationError> {
        let mut issues = document.issues();
        let name = document.name();
        let before = self.shelf.document(&name).await?;
        if let Some(current) = before
            .as_ref()
            .filter(|before| if_match.is_some_and(|wanted| wanted != before.version))
        {
            return Err(DocumentError::Stale {
                current: current.version,
            }
            .into());
        }
        // A file's connection that does not fit is parked instead: one of them must not keep the
        // host from starting.
        if let (Document::Connection(connection), ManagedBy::Api) = (&document, managed_by) {
            issues.extend(self.misfits(connection).await?);
        }
        let entered = self
            .entered(&document, before.as_ref(), &mut issues)
            .await?;
        if !issues.is_empty() {
            return Err(ConfigurationError::Invalid { issues });
        }
        let json = json(&document)?;
        let mut stored = self.shelf.put(&name, &json, managed_by, if_match).await?;
        let stored = match &document {
            Document::Subscription(_) | Document::Channel(_) => stored,
            Document::Source(source) => {
                self.move_secrets(
                    &mut stored,
                    before.as_ref(),
                    entered,
                    &hosts_of_source(source),
                )
                .await?;
                stored
            }
            Document::Connection(connection) => {
                self.settle_connection(connection, stored, before.as_ref(), entered)
                    .await?
            }
        };
        Ok(Put {
            created: before.is_none(),
            stored,
        })
    }

    /// Whether a set of documents can be written, as far as that can be known before.
    pub(super) async fn check_set(
        &self,
        documents: &[(String, Document)],
    ) -> Result<(), ConfigurationError> {
        let mut wrong = Vec::new();
        for (pointer, document) in documents {
            let before = self.shelf.document(&document.name()).await?;
            if before
                .as_ref()
                .is_some_and(|before| before.managed_by == ManagedBy::File)
            {
                return Err(DocumentError::ManagedByFile.into());
            }
            let mut issues = document.issues();
            self.entered(document, before.as_ref(), &mut issues).await?;
            wrong.extend(issues.into_iter().map(|issue| issue.under(pointer)));
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(ConfigurationError::Invalid { issues: wrong })
        }
    }

    /// Writes documents as the API's, without publishing.
    pub(super) async fn write_set(
        &self,
        documents: Vec<(String, Document)>,
    ) -> Result<Vec<Put>, ConfigurationError> {
        let mut puts = Vec::with_capacity(documents.len());
        for (pointer, document) in documents {
            puts.push(
                self.write(document, ManagedBy::Api, None)
                    .await
                    .map_err(|error| error.under(&pointer))?,
            );
        }
        Ok(puts)
    }

    /// What of a connection's settings its connector does not take. Its channel may have been
    /// written just before.
    async fn misfits(&self, connection: &ConnectionDocument) -> Result<Vec<Issue>, StoreError> {
        let Some(channel) = self
            .shelf
            .document(&DocumentName::Channel(connection.channel.clone()))
            .await?
        else {
            return Ok(Vec::new());
        };
        let channel: ChannelDocument = serde_json::from_str(&channel.json)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(self.settings_issues(&channel, connection))
    }

    /// Removes a document without publishing.
    pub(super) async fn remove(
        &self,
        name: &DocumentName,
        by: ManagedBy,
        if_match: Option<i64>,
    ) -> Result<(), ConfigurationError> {
        let before = self.shelf.document(name).await?;
        self.shelf.delete(name, by, if_match).await?;
        let Some(before) = before else { return Ok(()) };
        for secret in secret_names(&before) {
            self.secrets.forget(&owner(&before), &secret).await?;
        }
        Ok(())
    }

    /// The secrets of a document that cannot be read.
    pub(super) fn unreadable(&self, document: &Document) -> Vec<Issue> {
        let variables = self.variables.as_ref();
        let issue = |secret: NamedSecret<'_>| {
            let error = secret.reference.read(&|name| variables(name)).err()?;
            Some(Issue::new(
                secret.pointer,
                "secret.unreadable",
                error.to_string(),
            ))
        };
        auth(document)
            .map(AuthDocument::secrets)
            .unwrap_or_default()
            .into_iter()
            .filter_map(issue)
            .collect()
    }

    /// Reads the secrets that the document names. What cannot be read or was never entered becomes
    /// an issue.
    async fn entered(
        &self,
        document: &Document,
        before: Option<&StoredDocument>,
        issues: &mut Vec<Issue>,
    ) -> Result<Vec<Entered>, ConfigurationError> {
        let mut entered = Vec::new();
        for secret in auth(document)
            .map(AuthDocument::secrets)
            .unwrap_or_default()
        {
            let variables = self.variables.as_ref();
            match secret.reference.read(&|name| variables(name)) {
                Ok(value) => {
                    let bound = match before {
                        Some(before) if value.is_none() => {
                            self.secrets
                                .bound_hosts(&owner(before), secret.name)
                                .await?
                        }
                        _ => None,
                    };
                    if value.is_none() {
                        issues.extend(unusable(document, bound.as_deref(), &secret));
                    }
                    entered.push(Entered {
                        name: secret.name.to_owned(),
                        value,
                    });
                }
                Err(error) => issues.push(Issue::new(
                    secret.pointer,
                    "secret.unreadable",
                    error.to_string(),
                )),
            }
        }
        Ok(entered)
    }

    /// Values go to the vault, bound to these hosts; what the document names no more is forgotten.
    /// Another value is a change of the document although its text is the same: `If-Match` guards a
    /// rotation as well.
    async fn move_secrets(
        &self,
        stored: &mut StoredDocument,
        before: Option<&StoredDocument>,
        entered: Vec<Entered>,
        hosts: &[String],
    ) -> Result<Credential, ConfigurationError> {
        let owner = owner(stored);
        let mut credential = Credential::Good;
        let mut renewed = false;
        for old in before.map(secret_names).unwrap_or_default() {
            if !entered.iter().any(|secret| secret.name == old) {
                self.secrets.forget(&owner, &old).await?;
            }
        }
        for Entered { name, value } in entered {
            if let Some(value) = value {
                renewed |= self.secrets.put(&owner, &name, value, hosts).await?;
            } else {
                // Asked of the vault, not of the document before: two changes in a row must not
                // launder a credential.
                let bound = self
                    .secrets
                    .bound_hosts(&owner, &name)
                    .await?
                    .unwrap_or_default();
                if hosts.iter().any(|host| !bound.contains(host)) {
                    credential = Credential::NeedsReentry;
                }
            }
        }
        if renewed && before.is_some_and(|before| before.version == stored.version) {
            stored.version = self.shelf.renew(&stored.name).await?;
        }
        Ok(credential)
    }

    /// Parks a connection whose credential belongs elsewhere; frees a parked one that was changed.
    async fn settle_connection(
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
            // A person's pause stays; the vault refuses the credential for the new host anyway.
            Credential::NeedsReentry if stored.state != "paused" => ("parked", Some(NEEDS_REENTRY)),
            Credential::Good if stored.state == "parked" && (renewed || changed) => {
                ("active", None)
            }
            Credential::NeedsReentry | Credential::Good => return Ok(stored),
        };
        self.shelf
            .set_connection_state(ConnectionId(stored.id), state, reason)
            .await?;
        Ok(StoredDocument {
            state: state.to_owned(),
            state_reason: reason.map(ToOwned::to_owned),
            ..stored
        })
    }
}

/// Why a value that should be kept cannot be. A connection may be parked until it is entered again;
/// a source cannot.
fn unusable(
    document: &Document,
    bound: Option<&[String]>,
    secret: &NamedSecret<'_>,
) -> Option<Issue> {
    let Some(bound) = bound else {
        let detail = "no value is stored that could be kept; enter it with `value`";
        return Some(Issue::new(
            secret.pointer.clone(),
            "secret.not_stored",
            detail,
        ));
    };
    let Document::Source(source) = document else {
        return None;
    };
    let host = hosts_of_source(source)
        .into_iter()
        .find(|host| !bound.contains(host))?;
    let detail =
        format!("the stored value was not entered for {host}; enter it again with `value`");
    Some(Issue::new(
        secret.pointer.clone(),
        "secret.other_hosts",
        detail,
    ))
}

/// The document as it is stored: secrets taken out.
fn json(document: &Document) -> Result<String, StoreError> {
    let text = match document {
        Document::Subscription(document) => serde_json::to_string(document),
        Document::Channel(document) => serde_json::to_string(document),
        Document::Source(document) => serde_json::to_string(&SourceDocument {
            auth: document.auth.as_ref().map(AuthDocument::kept),
            ..document.clone()
        }),
        Document::Connection(document) => serde_json::to_string(&ConnectionDocument {
            auth: document.auth.as_ref().map(AuthDocument::kept),
            ..document.clone()
        }),
    };
    text.map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn auth(document: &Document) -> Option<&AuthDocument> {
    match document {
        Document::Subscription(_) | Document::Channel(_) => None,
        Document::Source(document) => document.auth.as_ref(),
        Document::Connection(document) => document.auth.as_ref(),
    }
}

/// Under which the vault keeps the secrets of a stored document.
fn owner(stored: &StoredDocument) -> String {
    match stored.name {
        DocumentName::Subscription(_) => format!("subscription:{}", stored.id),
        DocumentName::Source(_) => format!("source:{}", stored.id),
        DocumentName::Channel(_) => format!("channel:{}", stored.id),
        DocumentName::Connection { .. } => format!("connection:{}", stored.id),
    }
}

/// The secrets that a stored document names.
fn secret_names(stored: &StoredDocument) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct WithAuth {
        auth: Option<AuthDocument>,
    }
    let auth = serde_json::from_str::<WithAuth>(&stored.json)
        .ok()
        .and_then(|document| document.auth);
    auth.iter()
        .flat_map(AuthDocument::secrets)
        .map(|secret| secret.name.to_owned())
        .collect()
}
