//! Reading and destroying units (`api.md` 3, 4.1 to 4.3, 9).

use fleet_core::JobState;

use crate::harness::{SLEEP, SLEEP_OPTIONS, Server, settings};

const GLOBAL: &str = "[Service]\nExecStart=/bin/sleep 1\n\n[X-Fleet]\nGlobal=true\n";
const BBB: &str =
    "[Unit]\nDescription=a <b> & \"c\"\n\n[Service]\nExecStart=/bin/sleep 1\nEnvironment=\n";

#[tokio::test]
async fn the_recorded_list_comes_out_byte_by_byte() {
    let server = Server::start_with(settings(2));
    let lead = server.lead().await;
    let machine = server.register("XXX", "", &[]).await;
    server.create("AAA.service", GLOBAL, JobState::Launched).await;
    server.create("BBB.service", BBB, JobState::Launched).await;
    server.create("CCC.service", SLEEP, JobState::Inactive).await;
    server.schedule(&lead, "BBB.service", "XXX").await;
    server.publish(&machine, "BBB.service", JobState::Launched).await;
    server.publish(&machine, "AAA.service", JobState::Launched).await;

    // As in the transcript, but with our token and the row of `README.md` 17.
    let page = r#"{"nextPageToken":"1u.BBB.service","units":[{"currentState":"inactive","desiredState":"launched","name":"AAA.service","options":[{"name":"ExecStart","section":"Service","value":"/bin/sleep 1"},{"name":"Global","section":"X-Fleet","value":"true"}]},{"currentState":"launched","desiredState":"launched","machineID":"XXX","name":"BBB.service","options":[{"name":"Description","section":"Unit","value":"a \u003cb\u003e \u0026 \"c\""},{"name":"ExecStart","section":"Service","value":"/bin/sleep 1"},{"name":"Environment","section":"Service"}]}]}"#;
    server.get("/fleet/v1/units?alt=json").await.assert_ok(page);
    let rest = r#"{"units":[{"currentState":"inactive","desiredState":"inactive","name":"CCC.service","options":[{"name":"ExecStart","section":"Service","value":"/bin/sleep 100"}]}]}"#;
    server.get("/v1-alpha/units?nextPageToken=1u.BBB.service").await.assert_ok(rest);

    let single = r#"{"desiredState":"launched","name":"AAA.service","options":[{"name":"ExecStart","section":"Service","value":"/bin/sleep 1"},{"name":"Global","section":"X-Fleet","value":"true"}]}"#;
    server.get("/fleet/v1/units/AAA.service").await.assert_ok(single);
}

#[tokio::test]
async fn the_current_state_follows_what_the_target_says() {
    let server = Server::start();
    let lead = server.lead().await;
    let target = server.register("XXX", "", &[]).await;
    let other = server.register("YYY", "", &[]).await;
    let shows = async |state: &str, machine: &str| {
        let body = server.get("/fleet/v1/units/a.service").await.body;
        assert!(body.contains(&format!(r#""currentState":"{state}""#)), "{state}: {body}");
        assert_eq!(body.contains("machineID"), !machine.is_empty());
        assert!(body.contains(machine));
    };
    server.create("a.service", SLEEP, JobState::Launched).await;
    shows("inactive", "").await;
    server.schedule(&lead, "a.service", "XXX").await;
    shows("inactive", "XXX").await;
    server.publish(&other, "a.service", JobState::Launched).await;
    shows("inactive", "XXX").await;
    server.publish(&target, "a.service", JobState::Loaded).await;
    shows("loaded", "XXX").await;
    server.publish(&target, "a.service", JobState::Launched).await;
    shows("launched", "XXX").await;
    server.registry.leave(&target).await.unwrap();
    shows("inactive", "XXX").await;
}

#[tokio::test]
async fn names_are_percent_decoded() {
    let server = Server::start();
    server.create("t@1.service", SLEEP, JobState::Inactive).await;
    server.create("a\\x2d.service", SLEEP, JobState::Inactive).await;
    for path in ["units/t@1.service", "units/t%401.service", "units/a%5Cx2d.service"] {
        assert_eq!(server.get(&format!("/fleet/v1/{path}")).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_unit_that_is_not_there_cannot_be_read_or_destroyed() {
    let server = Server::start();
    for name in
        ["nope.service", "nope", "%zz", "a%00b", "%ff.service", "@", "...", "%C3%A9.service"]
    {
        for method in ["GET", "DELETE"] {
            let answer = server.call(method, &format!("/fleet/v1/units/{name}")).await;
            answer.assert_error(404, "unit does not exist");
        }
    }
}

#[tokio::test]
async fn a_unit_is_destroyed_once() {
    let server = Server::start();
    let lead = server.lead().await;
    server.register("XXX", "", &[]).await;
    server.create("w.service", SLEEP, JobState::Launched).await;
    server.schedule(&lead, "w.service", "XXX").await;
    let answer = server.call("DELETE", "/fleet/v1/units/w.service").await;
    assert_eq!(answer.head, "HTTP/1.1 204 No Content\nServer: fleetd/v2.0.0-test");
    assert_eq!(answer.body, "");
    let left: Vec<String> =
        server.stored().await.into_keys().filter(|key| key.contains("w.service")).collect();
    assert_eq!(left, ["leaving/w.service", "schedule/XXX/w.service"], "its machine is told");
    let again = server.call("DELETE", "/fleet/v1/units/w.service").await;
    again.assert_error(404, "unit does not exist");
}

#[tokio::test]
async fn a_corrupt_unit_is_left_out_of_the_list_and_can_be_destroyed() {
    let server = Server::start();
    server.create("good.service", SLEEP, JobState::Inactive).await;
    server.create("bad.service", SLEEP, JobState::Inactive).await;
    server.create("worse.service", SLEEP, JobState::Inactive).await;
    server.corrupt("unit/bad.service", r#"{"desiredState":"bogus"}"#).await;
    server.corrupt("file/worse.service", "[Service").await;
    let good = format!(
        r#"{{"units":[{{"currentState":"inactive","desiredState":"inactive","name":"good.service","options":{}}}]}}"#,
        r#"[{"name":"ExecStart","section":"Service","value":"/bin/sleep 100"}]"#
    );
    server.get("/fleet/v1/units").await.assert_ok(&good);
    for name in ["bad.service", "worse.service"] {
        server.get(&format!("/fleet/v1/units/{name}")).await.assert_error(500, "");
        let body = format!(r#"{{"options":{SLEEP_OPTIONS}}}"#);
        server.put(name, &body).await.assert_error(500, "");
        let answer = server.call("DELETE", &format!("/fleet/v1/units/{name}")).await;
        assert_eq!(answer.status, 204);
    }
    let left: Vec<String> = server.stored().await.into_keys().collect();
    assert_eq!(left, ["file/good.service", "unit/good.service"]);
}
