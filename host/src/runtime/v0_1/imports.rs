//! The functions that a guest may call, answered by the abilities of its call.

use std::sync::Arc;

use bytes::Bytes;
use secrecy::SecretString;
use wasmtime::component::{HasSelf, Linker};

use super::bindings::OutputConnectorFull;
use super::bindings::egression::connector::{
    credentials, http, ids, log, manifest, model, rate, settle,
};
use super::{incoming, outgoing};
use crate::gate::exchange::{BodyPlaceholders, OutgoingRequest, RequestAuth};
use crate::gate::{Algorithm, Cost, Encoding, SignRequest};
use crate::runtime::connector_call::LogLevel;
use crate::runtime::instance::guest_state::GuestState;

pub fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    OutputConnectorFull::add_to_linker::<GuestState, HasSelf<GuestState>>(linker, |state| state)
}

impl model::Host for GuestState {}
impl manifest::Host for GuestState {}

impl http::Host for GuestState {
    async fn send(
        &mut self,
        request: http::Request,
    ) -> wasmtime::Result<Result<http::Response, http::HttpError>> {
        let abilities = Arc::clone(&self.abilities);
        let request = outgoing_request(request);
        let answer = self
            .on_host(async move { abilities.send(request).await })
            .await?;
        Ok(outgoing::answer(answer))
    }

    async fn send_all(
        &mut self,
        requests: Vec<http::Request>,
    ) -> wasmtime::Result<Vec<Result<http::Response, http::HttpError>>> {
        let abilities = Arc::clone(&self.abilities);
        let requests = requests.into_iter().map(outgoing_request).collect();
        let answers = self
            .on_host(async move { abilities.send_all(requests).await })
            .await?;
        Ok(answers.into_iter().map(outgoing::answer).collect())
    }
}

fn outgoing_request(request: http::Request) -> OutgoingRequest {
    OutgoingRequest {
        method: request.method,
        url: request.url,
        headers: request
            .headers
            .into_iter()
            .map(|header| (header.name, header.value))
            .collect(),
        body: request.body.map(|body| match body {
            http::Payload::Text(text) => Bytes::from(text),
            http::Payload::Bytes(bytes) => Bytes::from(bytes),
        }),
        body_placeholders: match request.body_placeholders {
            http::BodyPlaceholders::None => BodyPlaceholders::None,
            http::BodyPlaceholders::Json => BodyPlaceholders::Json,
            http::BodyPlaceholders::Form => BodyPlaceholders::Form,
        },
        reads_only: request.reads_only,
        auth: match request.auth {
            http::RequestAuth::Connection => RequestAuth::Connection,
            http::RequestAuth::None => RequestAuth::None,
        },
        operation: request.operation,
        costs: request
            .costs
            .into_iter()
            .map(|cost| Cost {
                name: cost.name,
                units: cost.units,
            })
            .collect(),
        timeout_ms: request.timeout,
        max_response_bytes: request.max_response_bytes,
    }
}

impl credentials::Host for GuestState {
    async fn placeholder(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<String, credentials::CredentialError>> {
        let abilities = Arc::clone(&self.abilities);
        let placeholder = self
            .metered_on_host(async move { abilities.placeholder(name).await })
            .await?;
        Ok(placeholder.map_err(outgoing::credential_error))
    }

    async fn sign(
        &mut self,
        request: credentials::SignRequest,
    ) -> wasmtime::Result<Result<String, credentials::CredentialError>> {
        let abilities = Arc::clone(&self.abilities);
        let request = sign_request(request);
        let signature = self
            .metered_on_host(async move { abilities.sign(request).await })
            .await?;
        Ok(signature.map_err(outgoing::credential_error))
    }

    async fn deposit(
        &mut self,
        name: String,
        value: String,
        expires_at: Option<u64>,
    ) -> wasmtime::Result<Result<(), credentials::CredentialError>> {
        let abilities = Arc::clone(&self.abilities);
        let expires_at = expires_at.map(incoming::instant);
        let value = SecretString::from(value);
        let kept = self
            .metered_on_host(async move { abilities.deposit(name, value, expires_at).await })
            .await?;
        Ok(kept.map_err(outgoing::credential_error))
    }
}

fn sign_request(request: credentials::SignRequest) -> SignRequest {
    SignRequest {
        algorithm: match request.algorithm {
            credentials::Algorithm::HmacSha1 => Algorithm::HmacSha1,
            credentials::Algorithm::HmacSha256 => Algorithm::HmacSha256,
            credentials::Algorithm::HmacSha512 => Algorithm::HmacSha512,
            credentials::Algorithm::Md5 => Algorithm::Md5,
            credentials::Algorithm::Sha256 => Algorithm::Sha256,
            credentials::Algorithm::Rs256 => Algorithm::Rs256,
            credentials::Algorithm::Es256 => Algorithm::Es256,
            credentials::Algorithm::Ed25519 => Algorithm::Ed25519,
            credentials::Algorithm::Aws4 => Algorithm::Aws4,
        },
        key: request.key,
        data: request.data,
        encoding: match request.encoding {
            credentials::Encoding::Hex => Encoding::Hex,
            credentials::Encoding::Base64 => Encoding::Base64,
            credentials::Encoding::Base64url => Encoding::Base64Url,
        },
        attrs: request
            .attrs
            .into_iter()
            .map(|attr| (attr.key, attr.value))
            .collect(),
    }
}

impl settle::Host for GuestState {
    fn report(&mut self, outcomes: Vec<model::ItemOutcome>) -> wasmtime::Result<bool> {
        self.meter
            .clone()
            .on_guest_thread(|| self.report(incoming::outcomes(outcomes)));
        Ok(self.abilities.stop_wanted())
    }
}

impl rate::Host for GuestState {
    async fn observe(
        &mut self,
        bucket: Option<String>,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset: Option<u64>,
    ) -> wasmtime::Result<()> {
        let abilities = Arc::clone(&self.abilities);
        self.metered_on_host(async move {
            abilities.observe(bucket.as_deref(), limit, remaining, reset);
        })
        .await
    }
}

impl ids::Host for GuestState {
    async fn lookup(
        &mut self,
        keys: Vec<model::ObjectKey>,
    ) -> wasmtime::Result<Vec<Vec<model::Remote>>> {
        let abilities = Arc::clone(&self.abilities);
        let keys = keys.into_iter().map(incoming::key).collect();
        let found = self
            .metered_on_host(async move { abilities.lookup(keys).await })
            .await?;
        Ok(found.into_iter().map(outgoing::remotes).collect())
    }
}

impl log::Host for GuestState {
    fn emit(
        &mut self,
        level: log::Level,
        message: String,
        item: Option<u32>,
        attrs: Vec<model::Attr>,
    ) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.meter.on_guest_thread(|| {
            let attrs: Vec<(&str, &str)> = attrs
                .iter()
                .map(|attr| (attr.key.as_str(), attr.value.as_str()))
                .collect();
            self.log.push(level, &message, item, &attrs);
        });
        Ok(())
    }
}
