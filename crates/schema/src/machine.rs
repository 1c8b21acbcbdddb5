//! The machines of the cluster (`api.md` 3, 6).

use std::collections::BTreeMap;

entity! {
    /// A machine of the cluster.
    pub struct Machine or null {
        /// Its id.
        pub id: String = "id",
        /// Configured metadata overlaid with dynamic metadata.
        pub metadata: BTreeMap<String, String> = "metadata",
        /// The address it published, if any.
        pub primary_ip: String = "primaryIP",
        /// How it stands, in its own words: `leaving`, `silent`; empty when it is in service.
        pub standing: String = "standing",
    }

    /// One page of the list of machines, by id.
    pub struct MachinePage or null {
        /// The machines.
        pub machines: Vec<Machine> = "machines",
        /// Asks for the next page; absent on the last one.
        pub next_page_token: String = "nextPageToken",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{from_json, to_json};

    #[test]
    fn a_page_is_emitted_as_the_original_did() {
        let text = r#"{"machines":[{"id":"XXX"},{"id":"ZZZ","metadata":{"a":"\u003c1\u003e\u0026","b":"2"},"primaryIP":"1.2.3.5","standing":"leaving"}],"nextPageToken":"AgACAA=="}"#;
        let page: MachinePage = from_json(text.as_bytes()).unwrap();
        assert_eq!(page.machines[1].metadata["a"], "<1>&");
        assert_eq!(to_json(&page), text);
    }
}
