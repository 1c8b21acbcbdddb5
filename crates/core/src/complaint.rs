//! Says what goes wrong again and again only when it is news.

use std::fmt::Display;

/// The last thing that went wrong, until it works again.
#[derive(Debug, Default)]
pub struct Complaint {
    last: Option<String>,
}

impl Complaint {
    /// Whether this hasn't been said the last time.
    pub fn is_news(&mut self, error: &impl Display) -> bool {
        let text = Some(error.to_string());
        let news = self.last != text;
        self.last = text;
        news
    }

    /// It works again. Returns whether there was something to complain about.
    pub fn is_over(&mut self) -> bool {
        self.last.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_news_is_worth_saying() {
        let mut complaint = Complaint::default();
        assert!(!complaint.is_over());
        assert!(complaint.is_news(&"a"));
        assert!(!complaint.is_news(&"a"));
        assert!(complaint.is_news(&"b"));
        assert!(complaint.is_over());
        assert!(complaint.is_news(&"b"));
    }
}
