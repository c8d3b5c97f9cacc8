"""The consent front: the web server behind the links of consents. It is the only part that faces the internet.

It has no identity in Vault, reads no Secret and knows no client secret; it reads consents and stores answers in them.
It keeps no state that matters: any replica can serve any request, and each can be restarted at any time.
"""
