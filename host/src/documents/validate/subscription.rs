//! Subscriptions.

use super::name::name;
use super::{Issue, range};
use crate::documents::model::SubscriptionDocument;

/// The largest share of a subscription.
const MAX_WEIGHT: u64 = 1000;

/// The problems of a subscription.
pub fn subscription(document: &SubscriptionDocument) -> Vec<Issue> {
    let weight = range("/weight", document.weight.into(), 1, MAX_WEIGHT, "");
    name("/name", &document.name)
        .into_iter()
        .chain(weight)
        .collect()
}
