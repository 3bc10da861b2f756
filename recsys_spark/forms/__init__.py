"""What a fitted recommender is: its folder, how it ranks users within what they may get, how it gives reasons.

`segments`    items of each segment by popularity
`item_item`   the user's items, weighed, times item-to-item weights
`vectors`     inner product of the user's vector and the item's
`blend`       forms whose rankings are merged

Where a form reads what a user did, the user is encoded from that: a user newer than the model is no other case.
"""
