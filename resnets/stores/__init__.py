"""Object stores (s3:// and others that fsspec opens): the only room that knows of them.

What is read is copied to a cache first (`mirror`); what is written goes to a local folder, and is sent from there (`publish`).
So every other room works with files, and asks here for the path that stands for an address.
"""

from resnets.stores.addresses import address_of, told
from resnets.stores.mirror import copied, local
from resnets.stores.publish import adding, check_new, claim, publishing, sent

__all__ = ["adding", "address_of", "check_new", "claim", "copied", "local", "publishing", "sent", "told"]
