"""The demo: a real job over three peers, one of which is killed, built on nothing but the public face.

`analysis` is the work, `corpus` the input, `tasks` what the peers load; `fleet` starts and ends peers,
`scenario` tells the story, `display` shows it and `report` judges it.
"""
