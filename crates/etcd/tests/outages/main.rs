//! `EtcdStore` on a real etcd that fails, wants a login, or speaks TLS.

mod helpers;
mod lanes;
mod login;
mod members;
mod outage;
mod space;
mod tls;
mod tunnel;
