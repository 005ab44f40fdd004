//! A complete connector: it sends products to a shop, one request per product.

use egression_sdk::{
    Action, Call, CallError, Connector, Description, Item, ItemOutcome, Outcome, Request,
    TypeSupport, export_connector, outcome_from_http, outcome_from_status, path_segment,
};

struct Shop;

impl Connector for Shop {
    fn describe() -> Description {
        Description::new("shop", "0.1.0", "A shop")
            .object_type(
                TypeSupport::standard("product", &[Action::Upsert]).idempotent(&[Action::Upsert]),
            )
            .auth("bearer", &[])
            .host("api.shop.example.com")
    }

    fn deliver(call: &Call<'_>, items: &[Item]) -> Result<Vec<ItemOutcome>, CallError> {
        let put = |item: &Item| {
            let id = match path_segment(&item.object.id) {
                Ok(id) => id,
                Err(problem) => return Outcome::rejected(problem),
            };
            let request = Request::put(format!("https://api.shop.example.com/products/{id}"))
                .header("idempotency-key", &item.idempotency_key)
                .json_text(item.body.as_deref().unwrap_or_default());
            match call.send(&request) {
                Ok(response) => outcome_from_status(&response, item),
                Err(error) => outcome_from_http(&error, false, call.now_ms()),
            }
        };
        Ok(items.iter().map(|item| item.settled(put(item))).collect())
    }
}

export_connector!(Shop);
