"""What the programs of all packages share on the network, and nothing of what any of them says there.

Clients are made here and nowhere else (a test looks): they take nothing from the shell that a drill is
run in. A proxy that the shell names would be given our tokens, and on most machines could not reach a loopback
address; a netrc file, an AWS profile or an AWS setting of the user would change who calls whom, and how. So each
client asks the address that it is given, with the credentials that it is given.
"""
