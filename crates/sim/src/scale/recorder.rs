//! What is recorded while a part goes on: how the cluster stands, and how long pages of a list take.

use std::time::Duration;

use fleet_schema::UnitStatePage;
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time::{self, Instant},
};

use super::{
    observer::Counts,
    report::{Point, Spread},
    submit::{Api, get},
};

/// How often it is noted how the cluster stands.
const TICK: Duration = Duration::from_millis(50);

/// The most of these notes that are kept: of more, every second one goes.
const POINTS: usize = 400;

/// The pause between two pages.
const BETWEEN_PAGES: Duration = Duration::from_millis(500);

/// One that records until it is stopped.
pub(super) struct Recorder {
    stops: Vec<oneshot::Sender<()>>,
    tasks: JoinSet<Recorded>,
}

enum Recorded {
    Timeline(Vec<Point>),
    Pages(Spread),
}

impl Recorder {
    /// Notes how the cluster stands, and asks for page after page where there is an API to ask.
    pub(super) fn start(counts: watch::Receiver<Counts>, api: Option<Api>) -> Self {
        let mut recorder = Self { stops: Vec::new(), tasks: JoinSet::new() };
        let stop = recorder.stop_of();
        recorder.tasks.spawn(async move { Recorded::Timeline(timeline(counts, stop).await) });
        if let Some(api) = api {
            let stop = recorder.stop_of();
            recorder.tasks.spawn(async move { Recorded::Pages(pages(api, stop).await) });
        }
        recorder
    }

    fn stop_of(&mut self) -> oneshot::Receiver<()> {
        let (stop, stopped) = oneshot::channel();
        self.stops.push(stop);
        stopped
    }

    /// What was recorded.
    pub(super) async fn stop(mut self) -> (Vec<Point>, Option<Spread>) {
        for stop in self.stops {
            // It may have ended already.
            let _ = stop.send(());
        }
        let (mut points, mut pages) = (Vec::new(), None);
        while let Some(recorded) = self.tasks.join_next().await {
            match recorded {
                Ok(Recorded::Timeline(timeline)) => points = timeline,
                Ok(Recorded::Pages(spread)) => pages = Some(spread),
                Err(_) => {}
            }
        }
        (points, pages)
    }
}

async fn timeline(counts: watch::Receiver<Counts>, mut stop: oneshot::Receiver<()>) -> Vec<Point> {
    let (began, mut points, mut tick) = (Instant::now(), Vec::new(), TICK);
    loop {
        let Counts { present, placed, active, .. } = *counts.borrow();
        let at = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        points.push(Point { at, present, placed, active });
        if points.len() == POINTS {
            let mut number = 0;
            points.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            tick *= 2;
        }
        tokio::select! {
            biased;
            _ = &mut stop => return points,
            () = time::sleep(tick) => {}
        }
    }
}

/// Walks through the list of states, over and over.
async fn pages(api: Api, mut stop: oneshot::Receiver<()>) -> Spread {
    let (mut times, mut failed, mut token) = (Vec::new(), 0, String::new());
    loop {
        let next = if token.is_empty() { String::new() } else { format!("&nextPageToken={token}") };
        let asked = Instant::now();
        let page = get(api.socket(), &format!("/fleet/v1/state?alt=json{next}")).await;
        match page.and_then(|body| read(&body)) {
            Ok(next) => {
                times.push(asked.elapsed().as_secs_f64() * 1e3);
                token = next;
            }
            Err(_) => {
                failed += 1;
                token.clear();
            }
        }
        tokio::select! {
            biased;
            _ = &mut stop => return Spread::of(times, failed),
            () = time::sleep(BETWEEN_PAGES) => {}
        }
    }
}

/// What asks for the next page.
fn read(body: &[u8]) -> Result<String, String> {
    let page: UnitStatePage = fleet_schema::from_json(body).map_err(|error| error.to_string())?;
    // It goes into a query as it is.
    let token = page.next_page_token;
    let is_plain = token.bytes().all(|it| it.is_ascii_alphanumeric() || b".-_~".contains(&it));
    if is_plain { Ok(token) } else { Err(format!("a token that is no word: {token}")) }
}
