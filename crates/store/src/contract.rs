//! The promises of a store, one test function each.
//!
//! Every [`Store`](crate::Store) keeps them; [`store_contract!`](crate::store_contract) makes
//! tests of them. Each works under a prefix of its own, so that they may share a server and
//! run side by side. The ones in [`compaction`] change what everybody sees and are apart: each
//! wants a store of its own and a way to compact it.
//!
//! They panic when a promise is broken, as tests do.

pub mod compaction;
pub mod leases;
pub mod reads;
mod scope;
pub mod transactions;
pub mod watches;

/// Makes a test of every promise but those in [`contract::compaction`](crate::contract::compaction).
///
/// The first argument is the attribute of the tests, the second an expression that gives the
/// store as `Arc<dyn Store>` and something to keep while the test runs (a server, or `()`).
///
/// ```text
/// fleet_store::store_contract!(tokio::test, {
///     let server = EtcdServer::shared();
///     (connect(&server), server)
/// });
/// ```
#[macro_export]
macro_rules! store_contract {
    ($test:meta, $setup:expr) => {
        $crate::store_contract! { @tests $test, $setup,
            reads {
                the_past_can_be_read
                the_future_can_not_be_read
                nothing_was_before_the_first_revision
                several_ranges_are_read_at_one_revision
                no_ranges_tell_the_newest_revision
                keys_come_in_the_order_of_their_bytes
                a_limit_cuts_and_says_so
                pages_at_one_revision_show_each_key_once
                single_keys_and_prefixes_hold_no_more_than_they_say
                too_many_ranges_are_refused
                values_are_any_bytes
                large_values_are_kept
                an_answer_may_be_larger_than_four_mebibytes
                thousands_of_keys_are_read_at_once
            }
            transactions {
                each_comparison_holds_when_it_should
                nothing_is_written_unless_all_comparisons_hold
                writes_of_a_transaction_share_one_revision
                a_transaction_that_writes_nothing_has_no_revision
                create_revision_stays_and_mod_revision_moves
                a_prefix_is_deleted_and_nothing_else
                one_of_many_rivals_wins
                a_key_written_twice_is_refused
                as_many_operations_as_allowed_are_applied
                too_many_operations_are_refused
                an_empty_key_is_refused
                a_request_that_is_too_large_is_refused
                operations_too_large_together_are_refused
            }
            leases {
                granted_time_is_at_least_what_was_asked
                a_lease_that_is_too_long_is_refused
                expiry_deletes_the_keys_and_watches_see_it
                keep_alive_extends
                keep_alive_of_a_dead_lease_fails
                time_to_live_counts_down
                revoking_deletes_the_keys_at_once_and_together
                revoking_again_is_no_error
                a_put_with_a_dead_lease_fails_and_nothing_is_applied
                a_dead_lease_in_a_transaction_that_does_not_apply_is_no_error
                a_key_leaves_its_lease_when_put_without_or_with_another
            }
            watches {
                a_watch_replays_from_a_revision_and_goes_on
                a_watch_may_begin_in_the_future
                several_ranges_are_watched
                other_keys_are_not_told
                a_single_key_is_watched
                a_watch_of_nothing_is_refused
                a_revision_is_not_split
                deletions_are_told
                puts_are_told_whole
                a_slow_reader_misses_nothing
                many_watches_see_the_same
            }
        }
    };
    (@tests $test:meta, $setup:expr, $($topic:ident { $($promise:ident)* })*) => {
        $(mod $topic {
            use super::*;

            $(#[$test]
            async fn $promise() {
                let (store, _kept) = $setup;
                $crate::contract::$topic::$promise(store).await;
            })*
        })*
    };
}
