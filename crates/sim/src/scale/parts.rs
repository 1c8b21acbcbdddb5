//! What is measured, part by part.

mod churn;
mod idle;
mod leader;
mod lists;
mod lose;
mod one;
mod outage;
mod place;
mod register;
mod roll;

use super::{cluster::Cluster, options::Part, report::Figure};

/// What a part comes to: its figures, or why there are none.
pub(super) type Measured = Result<Vec<Figure>, String>;

/// Carries out a part.
pub(super) async fn carry_out(part: Part, cluster: &mut Cluster) -> Measured {
    match part {
        Part::Register => register::run(cluster).await,
        Part::Place => place::run(cluster).await,
        Part::Lists => lists::run(cluster).await,
        Part::One => one::run(cluster).await,
        Part::Idle => idle::run(cluster).await,
        Part::Churn => churn::run(cluster).await,
        Part::Roll => roll::run(cluster).await,
        Part::Lose => lose::run(cluster).await,
        Part::Leader => leader::run(cluster).await,
        Part::Outage => outage::run(cluster).await,
    }
}
