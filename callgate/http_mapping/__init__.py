"""An HTTP request and a function's arguments, each made of the other. Pure.

`building` makes the request of arguments, `reading` the arguments of a request, and the one undoes the other. So the
proxy's door and the executor read a request alike, and what was judged is what is sent.
"""
