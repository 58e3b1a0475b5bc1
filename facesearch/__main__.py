from facesearch.main import main

main()
