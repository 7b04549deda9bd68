#!/bin/bash
# Shows the agent at work against a management plane of its own, on this machine, as whoever calls it: from a dropped
# token to files, a change, a hook and a renewed certificate. Nothing is left behind; KEEP=1 leaves all of it running.
set -euo pipefail

bin=${1:?usage: demo.sh DIRECTORY-OF-BINARIES}
agent=$bin/runtime-agent
dir=$(mktemp -d "${TMPDIR:-/tmp}/runtime-agent-demo.XXXXXX")
conf=$dir/agent.toml
plane_pid='' agent_pid=''

end() {
    code=$?
    trap - EXIT
    [ -z "$agent_pid" ] || kill "$agent_pid" 2>/dev/null || true
    [ -z "$plane_pid" ] || kill "$plane_pid" 2>/dev/null || true
    wait
    if [ "$code" -ne 0 ]; then
        echo "The demo failed; what the agent said:" >&2
        cat "$dir/agent.log" >&2 || true
    fi
    rm -rf "$dir"
    exit "$code"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi
began=$(date +%s%N)
summary=''
step() { printf '\n%s== %s%s\n' "$bold" "$1" "$plain"; mark=$(date +%s%N); }
took() { summary+=$(printf '%8d ms  %s' "$((($(date +%s%N) - mark) / 1000000))" "$1")$'\n'; }
show() { printf '$ %s\n' "$*"; "$@"; }
# A table of contents without the command tree, which not every machine has.
tree() { (cd "$1" && find -L . -mindepth 1 | tr / '\001' | LC_ALL=C sort | tr '\001' / | sed -e 's|[^/]*/|   |g'); }
# Waits for a file to come, as long as the agent lives.
await() { until [ -e "$1" ]; do kill -0 "$2" && sleep 0.05; done; }
plane() { "$bin/plane" --dir "$dir/plane" "$@"; }
generation() { readlink "$dir/state/config/current"; }
ask() { "$agent" "$1" --config "$conf" "${@:2}"; }

mkdir -p "$dir"/{plane,pairing,hooks.d}
cat >"$conf" <<TOML
[plane]
ca_bundle = "$dir/plane/server-ca.pem"
[report]
events_url = "https://events.this-host.example.com"
console_url = "https://console.this-host.example.com"
[apply]
mode = "inline"
state = "$dir/applier"
[paths]
state = "$dir/state"
runtime = "$dir/run"
pairing = "$dir/pairing"
hooks = "$dir/hooks.d"
[log]
format = "text"
TOML
cat >"$dir/hooks.d/50-tell" <<HOOK
#!/bin/sh
# A hook gets the event as its argument, and what changed as JSON on its standard input.
{ echo "hook: \$1, generation \${RUNTIME_AGENT_GENERATION:-none}"; cat; echo; } >>"$dir/hook.log"
HOOK
chmod 755 "$dir/hooks.d/50-tell"

step "A management plane on 127.0.0.1, with a registered runtime and three applications"
# Not by the function above: its process would be a shell, and outlive the shell's end.
"$bin/plane" --dir "$dir/plane" serve >"$dir/plane.log" 2>&1 &
plane_pid=$!
await "$dir/plane/plane.json" "$plane_pid"
runtime=$(plane runtime "$(uname -n)")
first=$(plane generate --applications 3 --bundles 1 --apis 2 --events 1 --seed 7 | sed -n 1p)
echo "runtime $runtime"
took "plane"

step "The agent starts, and waits for a token"
"$agent" run --config "$conf" >"$dir/agent.log" 2>&1 &
agent_pid=$!
await "$dir/run/control.sock" "$agent_pid"
ask status || true
took "agent up"

step "A one-time token is dropped: the agent makes a key, pairs, and fetches"
plane token "$runtime" >"$dir/token"
show "$agent" pair --config "$conf" --token-file "$dir/token"
rm "$dir/token"
took "token to certificate"
await "$dir/state/config/current" "$agent_pid"
took "token to files"

step "What the host's own services read: $dir/state/config/current"
tree "$dir/state/config/current"
folder=$(cd "$dir/state/config/current/applications" && grep -l "$first" -- */application.json | head -n 1)
folder=$dir/state/config/current/applications/${folder%/*}
bundle=$(find "$folder/bundles/" -name bundle.json | head -n 1)
echo
show cat "$bundle"
echo
show ls -l "${bundle%/*}/"

step "An application changes at the plane"
before=$(generation)
cp -rL "$folder" "$dir/before"
plane change "$first" --target-url "https://moved.example.com/v2" >/dev/null
show "$agent" sync --config "$conf"
took "change to files"
echo "generation $before -> $(generation)"
diff -ru "$dir/before" "$folder" --exclude='credentials.*' | grep -E '^[-+]' || [ $? -eq 1 ]

step "What the hook was told"
# The hook runs beside; its last word is waited for.
until grep -q '"changed":\[{' "$dir/hook.log"; do kill -0 "$agent_pid" && sleep 0.05; done
cat "$dir/hook.log"

step "The certificate is renewed, with a new key"
old=$(readlink "$dir/state/identity/current")
show "$agent" renew --config "$conf"
until [ "$(readlink "$dir/state/identity/current")" != "$old" ]; do kill -0 "$agent_pid" && sleep 0.05; done
took "renewal"
show "$agent" identity --config "$conf"

step "How things are"
show "$agent" status --config "$conf"

step "Summary"
printf '%s' "$summary"
printf '%8d ms  all of it\n' "$((($(date +%s%N) - began) / 1000000))"

if [ -n "${KEEP:-}" ]; then
    cat <<TRY

Plane and agent stay up until Ctrl-C. In another terminal, try:
  $agent status --config $conf
  $bin/plane --dir $dir/plane generate --applications 5 --bundles 2 --apis 2
  $agent sync --config $conf
  $bin/plane --dir $dir/plane delete $first
  $bin/plane --dir $dir/plane revoke $runtime
  $bin/plane --dir $dir/plane token $runtime >$dir/pairing/token
  tail -f $dir/agent.log
TRY
    wait "$agent_pid" || true
fi
