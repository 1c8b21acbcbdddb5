//! Restarts of units (`spec/README.md` 14).

entity! {
    /// The answer to a request for a restart.
    pub struct RestartAsked or null {
        /// The machines that were asked.
        pub machines: Vec<String> = "machines",
    }

    /// What has become of requests for a restart.
    pub struct RestartPending or null {
        /// The machines that have been asked and haven't acknowledged yet.
        pub pending: Vec<String> = "pending",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_json;

    #[test]
    fn nothing_pending_is_an_empty_object() {
        let pending = RestartPending { pending: vec!["XXX".into(), "YYY".into()] };
        assert_eq!(to_json(&pending), r#"{"pending":["XXX","YYY"]}"#);
        assert_eq!(to_json(&RestartPending::default()), "{}");
    }
}
