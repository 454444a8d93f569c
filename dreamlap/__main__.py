"""`python -m dreamlap VERB ...`"""

from dreamlap.cli import main

main()
