# Makes a unit of one of several runtimes on a host from that of the plain one: runtime-agent@.service from
# runtime-agent.service, and likewise the applier's. `make install` does that, so they cannot come to differ.

s/^Description=.*/& (%i)/
# What it keeps, and where it is met and configured.
s#\(/etc/\|/run/\|/var/lib/\|Directory=\)runtime-agent\(-apply\|-broker\)\?#&@%i#g
# The units that belong together.
s#runtime-agent\(-apply\|-broker\)\?\.\(service\|socket\)#runtime-agent\1@%i.\2#g
s#^\(Exec[A-Za-z]*=/.*/runtime-agent\) #\1 --instance %i #
# The credentials of this runtime, and not those of another.
s#^LoadCredential=runtime-agent\.\(token\|broker\)$#&:runtime-agent@%i.\1#

# The directories of the plain one come with the package. These are made at the start, from the same list. Where /etc is
# read-only they may not be; whoever has an image like that is told, and the agent goes on with what there is.
/^ExecStart=.* run$/i\
ExecStartPre=+/bin/sh -c "sed 's,/runtime-agent,&@%i,' /usr/lib/tmpfiles.d/runtime-agent.conf | systemd-tmpfiles --create - || echo '<4>not all directories of this runtime can be made, as told above; the agent starts all the same. Where /etc is read-only, /etc/runtime-agent@%i/pairing has to come with the image: see INSTANCES in runtime-agent(8)'"

# All runtimes of a host have the same user, so what the others keep must not even be seen.
/^InaccessiblePaths=-.var.lib.runtime-agent-apply/a\
InaccessiblePaths=-/run/runtime-agent -/run/runtime-agent-broker.sock\
TemporaryFileSystem=/var/lib:ro\
BindPaths=/var/lib/runtime-agent@%i\
# Where some hosts have their accounts, and the authorities that they trust.\
BindReadOnlyPaths=-/var/lib/extrausers -/var/lib/sss -/var/lib/ca-certificates
