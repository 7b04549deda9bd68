//! A process whose memory holds tokens or keys: others cannot look into it, and no core dump shows it.

/// Turns off core dumps of this process, and debuggers of the same user with them. Later children inherit the limit on
/// core dumps. Where it fails, that is logged, and the process is as usual.
pub fn seclude() {
    let dumpable = nix::sys::prctl::set_dumpable(false);
    let limit = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
    for failed in [dumpable.err(), limit.err()].into_iter().flatten() {
        crate::event::Service::CoreDumps(failed).emit();
    }
}
