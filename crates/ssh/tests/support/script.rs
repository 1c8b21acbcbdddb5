//! A user who answers by a script.

use std::{collections::VecDeque, io, sync::Mutex, time::Duration};

use async_trait::async_trait;
use fleet_ssh::Ask;

/// Answers questions and keeps what was asked and told.
#[derive(Default)]
pub struct Script {
    answers: Mutex<VecDeque<String>>,
    heard: Mutex<String>,
    thinks: Duration,
}

impl Script {
    /// A user who gives these answers, and none after them.
    pub fn new(answers: &[&str]) -> Self {
        let answers = Mutex::new(answers.iter().map(|&answer| answer.into()).collect());
        Self { answers, ..Self::default() }
    }

    /// The same, thinking that long before each answer.
    pub fn slow(answers: &[&str], thinks: Duration) -> Self {
        Self { thinks, ..Self::new(answers) }
    }

    /// All that was asked and told.
    pub fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }

    async fn answer(&self, question: &str) -> Option<String> {
        self.heard.lock().unwrap().push_str(question);
        tokio::time::sleep(self.thinks).await;
        self.answers.lock().unwrap().pop_front()
    }
}

#[async_trait]
impl Ask for Script {
    async fn line(&self, question: &str) -> io::Result<Option<String>> {
        Ok(self.answer(question).await)
    }

    async fn secret(&self, question: &str) -> io::Result<Option<String>> {
        Ok(self.answer(question).await)
    }

    fn tell(&self, line: &str) {
        let mut heard = self.heard.lock().unwrap();
        heard.push_str(line);
        heard.push('\n');
    }
}
