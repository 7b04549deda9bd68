#!/bin/bash
# What an administrator would write instead of the agent: fetches all applications of a runtime page by page with curl,
# and keeps one JSON file for each, with a file of credentials (0640) for each bundle, each replaced as a whole with mv.
#
#   script.sh each|at-once DIRECTOR-URL CA CHAIN KEY RUNTIME DIRECTORY
#
# `each` replaces every file by itself, with jq for each: short, and easy to change. `at-once` is what becomes of it when
# somebody has made it fast: one jq for each page, no process for any file, and a whole new directory behind one link.
set -euo pipefail

how=$1 url=$2 ca=$3 chain=$4 key=$5 runtime=$6 out=$7

page='pageInfo { endCursor hasNextPage } totalCount'
credential='credential { __typename
  ... on BasicCredentialData { username password }
  ... on OAuthCredentialData { clientId clientSecret url }
  ... on CertificateOAuthCredentialData { clientId certificate url } }
  additionalHeaders additionalQueryParams'
definition='id name description group version { value deprecated deprecatedSince forRemoval } spec { id type format }'
query="query (\$runtime: ID!, \$after: PageCursor) {
  applicationsForRuntime(runtimeID: \$runtime, first: 100, after: \$after) {
    data {
      id name providerName description baseUrl systemNumber localTenantID labels status { condition } healthCheckURL
      eventingConfiguration { defaultURL }
      bundles(first: 25) {
        data {
          id name description
          defaultInstanceAuth { $credential requestAuth { csrf { tokenEndpointURL $credential } } }
          apiDefinitions(first: 50) { data { $definition targetURL } $page }
          eventDefinitions(first: 50) { data { $definition } $page }
        }
        $page
      }
    }
    $page
  }
}"

# One page; nothing half goes through: HTTP errors, GraphQL errors and lists that go on beyond their first page.
fetch() {
    jq -n --arg query "$query" --arg runtime "$runtime" --arg after "$1" \
        '{ $query, variables: { $runtime, after: (if $after == "" then null else $after end) } }' |
        curl --silent --show-error --fail --compressed --noproxy '*' --cacert "$ca" --cert "$chain" --key "$key" \
            --header 'Content-Type: application/json' --data-binary @- "$url" |
        jq -ce 'if .errors then error("the plane answered with errors: \(.errors)")
            elif any(.data.applicationsForRuntime.data[].bundles;
                     .pageInfo.hasNextPage or any(.data[] | .apiDefinitions, .eventDefinitions; .pageInfo.hasNextPage))
            then error("an application has more bundles or definitions than this script asks for")
            else .data.applicationsForRuntime end'
}

each() {
    mkdir -p "$out"
    local all after='' application id bundle folder
    all=$(mktemp)
    # shellcheck disable=SC2064
    trap "rm -f '$all' '$all.page'" EXIT
    while :; do
        fetch "$after" >"$all.page"
        jq -c '.data[]' "$all.page" >>"$all"
        [ "$(jq .pageInfo.hasNextPage "$all.page")" = true ] || break
        after=$(jq -r .pageInfo.endCursor "$all.page")
    done
    [ "$(jq .totalCount "$all.page")" -eq "$(wc -l <"$all")" ] || { echo "the list changed meanwhile" >&2; exit 1; }
    while IFS= read -r application; do
        id=$(jq -r .id <<<"$application")
        folder=$out/$id
        mkdir -p "$folder"
        while IFS= read -r bundle; do
            (umask 0137; jq -e .defaultInstanceAuth <<<"$bundle" >"$folder/.new") || { rm "$folder/.new"; continue; }
            mv "$folder/.new" "$folder/credentials-$(jq -r .id <<<"$bundle").json"
        done < <(jq -c '.bundles.data[]' <<<"$application")
        jq 'del(.bundles.data[].defaultInstanceAuth)' <<<"$application" >"$folder/.new"
        mv "$folder/.new" "$folder/application.json"
    done <"$all"
    # What is not listed any more goes.
    comm -23 <(cd "$out" && printf '%s\n' * | sort) <(jq -r .id "$all" | sort) |
        while IFS= read -r id; do rm -rf "${out:?}/$id"; done
    sync -f "$out"
}

at_once() {
    local after='' new former path content more page
    mkdir -p "$out"
    new=$(mktemp -d "$out/generation.XXXXXX")
    chmod 0755 "$new"
    page=$(mktemp)
    # shellcheck disable=SC2064
    trap "rm -f '$page'" EXIT
    umask 0137
    while :; do
        fetch "$after" >"$page"
        while IFS=$'\t' read -r path content; do
            # Directories by the mkdir of the system, a page at a time: bash has none of its own.
            printf '%s\n' "$content" >"$new/$path"
        done < <(
            jq -r '.data[].id' "$page" | (cd "$new" && umask 022 && xargs mkdir)
            jq -r '.data[] | .id as $id
                | (.bundles.data[] | select(.defaultInstanceAuth)
                    | "\($id)/credentials-\(.id).json\t\(.defaultInstanceAuth | tojson)"),
                  "\($id)/application.json\t\(del(.bundles.data[].defaultInstanceAuth) | tojson)"' "$page"
        )
        IFS=$'\t' read -r more after < <(jq -r '.pageInfo | [.hasNextPage, .endCursor] | @tsv' "$page")
        [ "$more" = true ] || break
    done
    sync -f "$new"
    ln -s "${new##*/}" "$out/.current"
    former=$(readlink "$out/current" || true)
    mv -T "$out/.current" "$out/current"
    [ -z "$former" ] || rm -rf "${out:?}/$former"
}

case $how in
    each) each ;;
    at-once) at_once ;;
    *) echo "script.sh: each or at-once, not $how" >&2; exit 2 ;;
esac
