#!/bin/bash
# Holds the broker to its description, etc/broker/openapi.json: schemathesis makes requests from it, good ones and bad ones,
# and sends them to the real agent, which is paired with a simulated plane. Afterwards nothing may be left at the plane that
# the host does not know of, nor anything at all once all bindings are deleted; and no secret may be in the agent's log.
#
# SEED=n repeats a run; MAX_EXAMPLES=n and MAX_SECONDS=n make it longer.
set -euo pipefail

bin=${1:?usage: contract.sh DIRECTORY-OF-BINARIES DIRECTORY-OF-PYTHON}
python=${2:?usage: contract.sh DIRECTORY-OF-BINARIES DIRECTORY-OF-PYTHON}
bin=$(realpath "$bin") python=$(realpath "$python")
here=$(cd "$(dirname "$0")" && pwd)
description=$(cd "$here/../../etc/broker" && pwd)/openapi.json
seed=${SEED:-$RANDOM$RANDOM}
agent=$bin/runtime-agent
dir=$(mktemp -d "${TMPDIR:-/tmp}/runtime-agent-contract.XXXXXX")
conf=$dir/agent.toml
plane_pid='' agent_pid='' passed=0 failed=0 began=$SECONDS

end() {
    code=$?
    trap - EXIT
    [ -z "$agent_pid" ] || kill "$agent_pid" 2>/dev/null || true
    [ -z "$plane_pid" ] || kill "$plane_pid" 2>/dev/null || true
    wait
    if [ "$code" -ne 0 ]; then
        echo "What the agent said last:" >&2
        tail -n 40 "$dir/agent.log" >&2 || true
        echo "To repeat this run: make contract SEED=$seed" >&2
    fi
    rm -rf "$dir"
    exit "$code"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

plane() { "$bin/plane" --dir "$dir/plane" "$@"; }
# Asks until it is so, for a minute and a half at the most, and as long as the agent lives.
await() {
    local until=$((SECONDS + 90))
    until "$@"; do
        kill -0 "$agent_pid" && [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.2
    done
}
# One promise: whether the command that follows says that it holds.
holds() {
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "contract: $what ... ok"
    else
        failed=$((failed + 1))
        echo "contract: $what ... FAILED"
    fi
}
bindings() { "$agent" broker bindings --json --config "$conf"; }
auths() { plane auths "$runtime" --json; }
# Asks the broker by curl, with user and password from a file.
ask() { curl --silent --show-error --config "$dir/curl" --header 'X-Broker-API-Version: 2.17' "$@"; }

"$python/bin/schemathesis" --version >/dev/null || { echo "contract: there is no schemathesis in $python." >&2; exit 1; }
echo "contract: seed $seed"

mkdir -p "$dir"/{plane,pairing,hooks.d}
"$bin/plane" --dir "$dir/plane" serve >"$dir/plane.log" 2>&1 &
plane_pid=$!
until [ -e "$dir/plane/plane.json" ]; do kill -0 "$plane_pid" && sleep 0.05; done
plane set --answering promptly >/dev/null
runtime=$(plane runtime contract)
# One service with plans of all kinds, so that a plan out of a list fits the service.
application=$(plane generate --applications 1 --bundles 5 --apis 2 --events 1 --seed 11)
plane generate --applications 2 --bundles 2 --credentials absent --seed 12 --quiet \
    --request-schema '{"type":"object","properties":{"scope":{"type":"string"}}}'

# A port that nobody has; should somebody take it in between, the agent says so, and this fails.
while port=$((20000 + RANDOM % 10000)); (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
(umask 077 && echo "platform:$password" >"$dir/password" && echo "user = \"platform:$password\"" >"$dir/curl")
url=http://127.0.0.1:$port
cat >"$conf" <<TOML
[plane]
ca_bundle = "$dir/plane/server-ca.pem"
[broker]
enabled = true
listen = "127.0.0.1:$port"
password_file = "$dir/password"
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
level = "debug"
TOML
"$agent" run --config "$conf" >"$dir/agent.log" 2>&1 &
agent_pid=$!
until [ -S "$dir/run/control.sock" ]; do kill -0 "$agent_pid" && sleep 0.05; done
(umask 077 && plane token "$runtime" >"$dir/token")
"$agent" pair --config "$conf" --token-file "$dir/token" >/dev/null
rm "$dir/token"
await ask --fail --output "$dir/catalog.json" "$url/v2/catalog" 2>/dev/null

# In the first run the ids are made up, and what is bad has to be refused. In the second, they are few and those of the
# catalog, so that requests meet each other's instances and bindings.
jq --arg service "$application" --slurpfile catalog "$dir/catalog.json" '
    ($catalog[0].services[] | select(.id == $service) | [.plans[] | select(.bindable).id]) as $plans
    | (.components.schemas | .InstanceRequest, .UpdateRequest, .BindingRequest).properties
        |= (.service_id.enum = [$service] | .plan_id = {type: "string", enum: $plans[0:2]})
    | .components.schemas.InstanceRequest.properties
        |= (del(.maintenance_info) | .organization_guid.enum = ["o"] | .space_guid.enum = ["s"]
            | .context = {type: "object", maxProperties: 0} | .parameters = {type: "object", maxProperties: 0})
    | .components.schemas.BindingRequest.properties.predecessor_binding_id = {type: "string", enum: ["b-1", "b-2"]}
    | .components.parameters.Service.schema = {type: "string", enum: [$service]}
    | .components.parameters.Plan.schema = {type: "string", enum: $plans[0:2]}
    | .components.parameters.InstanceId.schema = {type: "string", enum: ["i-1", "i-2", "a/ü%"]}
    | .components.parameters.BindingId.schema = {type: "string", enum: ["b-1", "b-2", "b-3"]}
    | .components.parameters.OriginatingIdentity.schema.enum = ["cloudfoundry eyJ1c2VyX2lkIjoiNjgzZWE3NDgifQ=="]
    | del(.. | .example?)' "$description" >"$dir/narrow.json"

# It keeps what it found where it is run, and tries that again; here, only the seed decides.
schemathesis() {
    cd "$dir" && "$python/bin/schemathesis" --config-file "$here/schemathesis.toml" run "$@" --url "$url" --auth "platform:$password" \
        --seed "$seed" --generation-database none --no-color --continue-on-failure --warnings off
}
holds 'requests with ids that are made up are answered as described' \
    schemathesis "$description" --checks all --exclude-checks positive_data_acceptance,unsupported_method --mode all \
    --max-examples "${MAX_EXAMPLES:-40}" --max-time "${MAX_SECONDS:-50}" --phases examples,coverage,fuzzing
# These headers are looked at before the method, so they have to be good ones here.
holds 'other methods are refused' \
    schemathesis "$dir/narrow.json" --checks unsupported_method,allow_header_conformance --mode negative --phases coverage \
    --max-time "${MAX_SECONDS:-50}" --header 'X-Broker-API-Version: 2.17' \
    --header 'X-Broker-API-Originating-Identity: cloudfoundry e30='
holds 'requests that meet each other are answered as described' \
    schemathesis "$dir/narrow.json" --checks all --exclude-checks ignored_auth,negative_data_rejection --mode positive \
    --max-examples "${MAX_EXAMPLES:-40}" --max-time "${MAX_SECONDS:-50}" --phases fuzzing,stateful

holds 'the agent goes on' kill -0 "$agent_pid"
# The group may be missing where this runs, which is no failure.
well() {
    "$agent" doctor --json --config "$conf" | jq --exit-status \
        '[.findings[] | select(.check == "broker").verdict] | length == 4 and all(IN("ok", "warning"))' >/dev/null
}
holds 'the doctor finds the broker well' well
counted() { "$agent" metrics --config "$conf" | grep --quiet '^runtime_agent_broker_requests_total{result="refused"} [1-9]'; }
holds 'requests are counted' counted
settled() { [ "$(bindings | jq '[.bindings[] | select(.phase | IN("asking", "waiting", "returning"))] | length')" -eq 0 ]; }
holds 'what was under way comes to its end' await settled
# Those of the plane that no binding knows, and those of bindings that the plane does not have.
agree() {
    local here there
    here=$(bindings | jq --compact-output '[.bindings[].auth // empty] | sort') || return
    there=$(auths | jq --compact-output '[.[].id] | sort') || return
    echo "contract: $(jq length <<<"$there") sets of credentials at the plane, of $(bindings | jq '.bindings | length') bindings"
    [ "$here" = "$there" ]
}
holds 'plane and host agree about who has credentials' agree
emptied() {
    local row
    while read -r row; do
        ask --output /dev/null --request DELETE "$url/v2/service_instances/$(jq -r '.instance | @uri' <<<"$row")\
/service_bindings/$(jq -r '.id | @uri' <<<"$row")?accepts_incomplete=true&service_id=$(jq -r '.service | @uri' <<<"$row")\
&plan_id=$(jq -r '.plan | @uri' <<<"$row")" || return
    done < <(bindings | jq --compact-output '.bindings[] | select(.phase != "returning")')
    [ "$(bindings | jq '.bindings | length')" -eq 0 ]
}
holds 'every binding can be deleted, whatever became of it' await emptied
holds 'then nothing is left at the plane' test "$(auths)" = '[]'
silent() {
    plane canaries >"$dir/canaries" && echo "$password" >>"$dir/canaries"
    [ -s "$dir/canaries" ] && ! grep --fixed-strings --file "$dir/canaries" --max-count 3 "$dir/agent.log"
}
holds 'no secret is in the log of the agent' silent
answered() { grep -c 'the service broker has answered' "$dir/agent.log"; }
# How often what was answered, by method and path.
sed -n 's/.*has answered \([A-Z]* [^ ]* with [0-9]*\) in .*/  \1/p' "$dir/agent.log" | LC_ALL=C sort | uniq -c
echo "contract: $(answered) requests, $(grep -c 'has answered .* with 429' "$dir/agent.log" || true) of them too many"
holds 'requests were made' test "$(answered)" -gt 500

word=ok
[ "$failed" -eq 0 ] || word=FAILED
printf 'test result: %s. %s passed; %s failed; 0 ignored; 0 measured; 0 filtered out; finished in %s.00s\n' \
    "$word" "$passed" "$failed" "$((SECONDS - began))"
[ "$failed" -eq 0 ]
